# machine WORK - in fresh mount and network namespaces: an /etc that can be written without being seen outside, an
# empty /root and /run, loopback up; then wait until standard input is closed.
set -e
work=$1
ip link set lo up
mount -t tmpfs -o mode=755 virt-pki "$work"
mkdir "$work/etc" "$work/etc.work" "$work/run"
mkdir -m 700 "$work/root"
if ! mount -t overlay virt-pki -o "lowerdir=/etc,upperdir=$work/etc,workdir=$work/etc.work" /etc 2>/dev/null; then
  cp -a /etc/. "$work/etc"
  mount --bind "$work/etc" /etc
fi
mount --bind "$work/root" /root
mount --bind "$work/run" /run
mkdir -p /run/sshd /run/lock
rm -rf /etc/pki/CA /etc/pki/libvirt /etc/pki/libvirt-* /etc/pki/qemu
mkdir -p /etc/pki /etc/libvirt
rm -f /etc/hosts
printf '%s\n' '127.0.0.1 localhost' '::1 localhost ip6-localhost' >/etc/hosts
echo ready
exec cat
