# open-root ROOT COMMAND... - in a fresh mount namespace: lay over ROOT what its programs are to share with outside,
# then run COMMAND in it. What outside does not have, the root keeps as its own.
set -e
root=$1
shift
for shared in /proc /dev /sys /tmp /run /root /etc/pki /etc/libvirt /etc/hosts /etc/resolv.conf /etc/nsswitch.conf; do
  if [ -e "$shared" ]; then mount --rbind "$shared" "$root$shared"; fi
done
exec chroot "$root" "$@"
