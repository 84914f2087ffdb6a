//! Values of labels: enums, so that the number of series is known.

/// A label: its name and every value it can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelSet {
    /// The name.
    pub name: &'static str,
    /// Every value, in the order of the enum.
    pub values: &'static [&'static str],
}

/// An enum whose variants are the values of one label.
pub(crate) trait Label: Copy {
    /// The label.
    const SET: LabelSet;
    /// The place of this value in the set.
    fn index(self) -> usize;
}

/// Declares an enum and the label that it is, one line per value.
macro_rules! label {
    ($(#[$doc:meta])* $name:ident, $label:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value as the label shows it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl Label for $name {
            const SET: LabelSet = LabelSet { name: $label, values: &[$($text,)+] };

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label! {
    /// How a request was decided.
    Verdict, "verdict" {
        /// It may pass.
        Allowed = "allowed",
        /// A rate limit refused it.
        Limited = "limited",
        /// Its credential or scope refused it.
        Denied = "denied",
    }
}

label! {
    /// What decided a request.
    Source, "source" {
        /// Redis, exactly.
        Redis = "redis",
        /// A denial remembered by this node.
        DenyMemory = "deny_memory",
        /// Tokens this node took ahead.
        Lease = "lease",
        /// Buckets in this node's memory: an embedded node, or an outage.
        Local = "local",
        /// The limit of failed attempts, before any look-up.
        Preauth = "preauth",
    }
}

label! {
    /// How a credential fared.
    AuthOutcome, "outcome" {
        /// Verified by its hash.
        Verified = "verified",
        /// Verified before, by this node.
        Cached = "cached",
        /// No such key.
        Unknown = "unknown",
        /// A key, but not its secret.
        BadSecret = "bad_secret",
        /// No text of an api key, or not signed by this ring.
        BadSignature = "bad_signature",
        /// The filter knows that there is no such key.
        BloomRejected = "bloom_rejected",
        /// Known to be gone.
        Tombstone = "tombstone",
        /// Revoked or suspended.
        Revoked = "revoked",
        /// Expired, or of a kind that is refused by now.
        Expired = "expired",
        /// Too many failures from this place.
        PreauthLimited = "preauth_limited",
        /// It could not be known.
        Unavailable = "unavailable",
    }
}

label! {
    /// How the secret of a key in use is made.
    KindLabel, "kind" {
        /// Here, with a tag.
        Signed = "signed",
        /// Here, without one.
        Unsigned = "unsigned",
        /// Elsewhere.
        Imported = "imported",
    }
}

label! {
    /// What went wrong with a call to Redis.
    RedisErrorKind, "kind" {
        /// No answer within the time.
        TimedOut = "timed_out",
        /// Too many decisions were waiting.
        QueueFull = "queue_full",
        /// The connection was lost or refused.
        Disconnected = "disconnected",
        /// The script was not loaded.
        NoScript = "no_script",
        /// The slot is elsewhere, moving, or nowhere.
        Redirected = "redirected",
        /// Redis was reading its data set.
        Loading = "loading",
        /// Redis had no memory left for a write.
        OutOfMemory = "out_of_memory",
        /// Redis did not let this node in, or not do this.
        Refused = "refused",
        /// A state that could not be read.
        Broken = "broken",
        /// Anything else.
        Other = "other",
    }
}

label! {
    /// How a look-up of a key in the store ended.
    LookupOutcome, "outcome" {
        /// It was there.
        Found = "found",
        /// It was not.
        Absent = "absent",
        /// It took too long.
        TimedOut = "timed_out",
        /// The store could not be asked.
        Unavailable = "unavailable",
    }
}

label! {
    /// What a pooled connection does.
    PoolState, "state" {
        /// Waits for work.
        Idle = "idle",
        /// Works.
        InUse = "in_use",
    }
}

label! {
    /// What a node depends on.
    Component, "component" {
        /// The buckets of a cluster.
        Redis = "redis",
        /// The keys of a cluster.
        Postgres = "postgres",
        /// The one-file key store of an embedded node.
        KeyFile = "key_file",
        /// What nodes tell each other of changes.
        Pubsub = "pubsub",
        /// Guard rail: the key store is behind its own fences.
        ChangeLogRewound = "change_log_rewound",
        /// The filter of key ids in this node's memory.
        BloomFilter = "bloom_filter",
        /// The hashing of secrets.
        Argon2Pool = "argon2_pool",
        /// Guard rail: a peer that is no trusted proxy says whose requests it passes on.
        UntrustedForwarder = "untrusted_forwarder",
        /// Guard rail: Redis may drop, or has dropped, what it holds, or cannot be asked whether it does.
        RedisEviction = "redis_eviction",
        /// Guard rail: Redis has lost its state lately.
        RedisStateLost = "redis_state_lost",
        /// Guard rail: this node's clock and Redis' are far apart.
        ClockSkew = "clock_skew",
        /// Guard rail: there are keys without a rate limit.
        UnlimitedKeys = "unlimited_keys",
    }
}

label! {
    /// What became of a span.
    SpanFate, "outcome" {
        /// The collector has taken it.
        Exported = "exported",
        /// No room was left for it.
        QueueFull = "queue_full",
        /// The collector could not be reached, or did not take it.
        Failed = "failed",
    }
}

label! {
    /// What became of a new certificate.
    CertificateFate, "outcome" {
        /// It is shown from then on.
        Taken = "taken",
        /// It cannot be used, and the one before it is shown.
        Refused = "refused",
    }
}

/// How a component is, as the gauge shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthState {
    /// 0: as it should be, or not a part of this node.
    Ok,
    /// 1: works, but somebody should look.
    Degraded,
    /// 2: does not work.
    Down,
}

/// What decides at this moment, as the gauge shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageState {
    /// 0: no outage.
    None,
    /// 1: this node's share.
    Local,
    /// 2: everything passes.
    Open,
    /// 3: nothing passes.
    Closed,
}
