# certtool-loop OUT HOSTS [PORT] - what an administrator's script for a cluster does: an authority, a key and a certificate
# for each host, one client, each in its tree with libvirt's names and modes. With a PORT also what virt-pki init does
# after that: every host's identity is proved by a TLS handshake with the client, over that port, and all is synced.
set -eu
out=$1 hosts=$2 port=${3-}
mkdir -p "$out/ca"
cd "$out"
exec 2>ca/log
umask 077

key() { certtool --generate-privkey --key-type ecdsa --curve secp256r1 --outfile "$1"; }
sign() { # TEMPLATE KEY CERTIFICATE
  certtool --generate-certificate --load-ca-certificate ca/cacert.pem --load-ca-privkey ca/cakey.pem \
    --load-privkey "$2" --template "$1" --outfile "$3"
}

printf '%s\n' 'cn = Example CA' ca cert_signing_key crl_signing_key 'expiration_days = 3650' >ca/ca.tmpl
key ca/cakey.pem
certtool --generate-self-signed --load-privkey ca/cakey.pem --template ca/ca.tmpl --outfile ca/cacert.pem

tree() { # NAME ROLE PURPOSE
  mkdir -p "$1/etc/pki/CA" "$1/etc/pki/libvirt/private"
  cp ca/cacert.pem "$1/etc/pki/CA/cacert.pem"
  printf '%s\n' "cn = $1" "dns_name = $1" "$3" signing_key 'expiration_days = 365' >ca/leaf.tmpl
  key "$1/etc/pki/libvirt/private/$2key.pem"
  sign ca/leaf.tmpl "$1/etc/pki/libvirt/private/$2key.pem" "$1/etc/pki/libvirt/$2cert.pem"
  chmod 644 "$1/etc/pki/CA/cacert.pem" "$1/etc/pki/libvirt/$2cert.pem"
}
for ((i = 1; i <= hosts; i++)); do tree "kvm$i.example.com" server tls_www_server; done
tree admin client tls_www_client
[ -n "$port" ] || exit 0

prove() { # NAME
  rm -f ca/serv
  gnutls-serv --echo --port "$port" --x509cafile ca/cacert.pem --require-client-cert --verify-client-cert \
    --x509certfile "$1/etc/pki/libvirt/servercert.pem" --x509keyfile "$1/etc/pki/libvirt/private/serverkey.pem" >ca/serv 2>&1 &
  until grep -q 'port .*done' ca/serv; do
    kill -0 $! # else it has ended
    sleep 0.002
  done
  gnutls-cli --port "$port" --x509cafile ca/cacert.pem --verify-hostname "$1" --logfile ca/cli \
    --x509certfile admin/etc/pki/libvirt/clientcert.pem --x509keyfile admin/etc/pki/libvirt/private/clientkey.pem \
    127.0.0.1 </dev/null >/dev/null
  kill $!
  wait $! || :
}
for ((i = 1; i <= hosts; i++)); do prove "kvm$i.example.com"; done
sync -f .
