#!/bin/sh
# SPDX-License-Identifier: MIT
# A round of file and process churn, for busybox. step() lets bench-linux do its part.
step() {
    echo step > /tmp/ask
    read -r _ < /tmp/answer
}
mkdir /tmp/d
for n in 1 2 3 4; do
    step
    echo "some text $n" > /tmp/d/$n
    cat /tmp/d/$n | grep -q text
    step
    cp /tmp/d/$n /tmp/d/copy$n
done
step
# shellcheck disable=SC2012
(cd /tmp/d && ls -l | sort -r | wc -l) > /tmp/list
step
rm -r /tmp/d
echo end > /tmp/ask
