#!/bin/bash
# Print the arguments of pytest for the tests of what the core does on an interpreter. Left out is what Python code decides
# and shows, the same on every version: `make test` runs that.
set -euo pipefail
cd "$(dirname "$0")/.."
echo tests/unit tests/property tests/integration
for path in tests/integration/test_{tiers,demo,cli,config_command,reconfiguration,breaker,slow_queue_loop}.py \
    tests/integration/test_{asgi,autostart}_*.py \
    tests/property/test_{configuration,tiers}.py tests/unit/test_{demo,reports}_*.py \
    tests/unit/test_{group_policy,metrics_model,policies,profiles,route_templates,settings,slow_queue_config}.py \
    tests/unit/test_{tables,tier_facts,tier_policy,tiers}.py; do
    echo "--ignore=$path"
done
