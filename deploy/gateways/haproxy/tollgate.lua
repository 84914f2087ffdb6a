-- Asks Tollgate whether a request may pass, for `http-request lua.tollgate URL`.
--
-- Where the gate allows (200) it sets txn.tollgate.verdict to "allowed" and txn.tollgate.key_id, .owner,
-- .scopes, .ratelimit and .ratelimit_policy to what the gate said. Any other answer is given to the client
-- as it is, and no answer is 503. An error in here ends this script alone, not the request: the rule after
-- it must deny whatever has no verdict.

local TIMEOUT_MS = 3000

-- What of a refusal the client is told.
local TOLD = {
    "content-type", "retry-after", "ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-ratelimit-remaining",
    "x-ratelimit-reset", "www-authenticate", "x-request-id", "cache-control",
}

-- Whether the gate looks at a header of this name: credentials, and whatever is so like a name of its own
-- that apps could take it for one, which it refuses.
local function is_for_the_gate(name)
    local plain = name:lower():gsub("[^a-z0-9]", "-")
    return plain == "authorization" or plain == "x-api-key" or plain == "x-request-id" or plain:find("^x%-tollgate%-") ~= nil
end

-- All values of all headers for the gate: of two credentials it must see both.
local function question(txn)
    local headers = { ["x-forwarded-for"] = { txn.f:src() } }
    for name, values in pairs(txn.http:req_get_headers()) do
        if is_for_the_gate(name) then
            local list = {}
            for place = 0, #values do
                list[#list + 1] = values[place]
            end
            headers[name] = list
        end
    end
    return headers
end

local function first(answer, name)
    local values = answer.headers and answer.headers[name]
    return values and values[0] or nil
end

local function allow(txn, answer)
    for _, name in ipairs({ "ratelimit", "ratelimit-policy" }) do
        local value = first(answer, name)
        if value then
            txn:set_var("txn.tollgate." .. name:gsub("%-", "_"), value)
        end
    end
    for _, name in ipairs({ "key-id", "owner", "scopes" }) do
        txn:set_var("txn.tollgate." .. name:gsub("%-", "_"), first(answer, "x-tollgate-" .. name) or "")
    end
    txn:set_var("txn.tollgate.verdict", "allowed")
end

local function refuse(txn, answer)
    local is_refusal = answer and answer.status and answer.status >= 400 and answer.status <= 599
    local headers = {}
    if is_refusal then
        for _, name in ipairs(TOLD) do
            local value = first(answer, name)
            if value then
                headers[name] = { value }
            end
        end
    else
        headers["retry-after"] = { "1" }
    end
    local reply = { status = is_refusal and answer.status or 503, headers = headers, body = is_refusal and answer.body or "" }
    txn:done(txn:reply(reply))
end

core.register_action("tollgate", { "http-req" }, function(txn, url)
    local answer = core.httpclient():get({ url = url, headers = question(txn), timeout = TIMEOUT_MS })
    if answer and answer.status == 200 then
        allow(txn, answer)
    else
        refuse(txn, answer)
    end
end, 1)
