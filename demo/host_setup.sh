# SPDX-License-Identifier: MIT
# shellcheck shell=dash
# What makes a Debian domain 0 of an initramfs: Xen's daemons, a bridge, and where everything looks for everything.
export LD_LIBRARY_PATH=/lib/x86_64-linux-gnu PATH=/usr/bin:/usr/sbin:/bin
console=/var/log/xen/guest-guest.log

mkdir -p /dev/pts /dev/shm /run/xen /run/xenstored /run/lock /var/log/xen /var/lib/xen /var/lib/xenstored
ln -s /run /var/run
ln -s /run/lock /var/lock
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
mount -t devpts devpts /dev/pts
mount -t xenfs xenfs /proc/xen

xenstored --pid-file=/run/xenstored.pid
while ! [ -S /run/xenstored/socket ]; do sleep 0.1; done
xen-init-dom0 >/dev/null
xenstore-write /local/pool/0/name Pool-0
xenconsoled --pid-file=/run/xenconsoled.pid --log=guest --log-dir=/var/log/xen

brctl addbr xenbr0
ip addr add 10.0.0.1/24 dev xenbr0
ip link set xenbr0 up
httpd -h /www
