#!/bin/sh
# What the balancer prints before it starts, as the last of all: how to ask for the first time.
cat <<EOF
Tollgate is on http://127.0.0.1:${BALANCER_PORT}. Try it:

  curl -i -H "Authorization: Bearer \$(docker compose cp bootstrap:/admin/key - | tar -xO)" http://127.0.0.1:${BALANCER_PORT}/v1/authorize

EOF
