# How the credentials of scenarios.jsonl are made. Run by bash in a directory with ca/, server/, client/ and home/; $KEYS is
# a directory of private keys, made on first use.

# key TYPE NAME OUT
key() {
  local pool=$KEYS/$1-$2.pem opt
  if [ ! -s "$pool" ]; then
    case $1 in
      rsa) opt="--key-type rsa --bits 2048";; rsa[0-9]*) opt="--key-type rsa --bits ${1#rsa}";;
      ec) opt="--key-type ecdsa --curve secp256r1";; ec384) opt="--key-type ecdsa --curve secp384r1";;
      *) opt="--key-type $1";;
    esac
    certtool --generate-privkey $opt --outfile "$pool.$$" 2>/dev/null && mv "$pool.$$" "$pool" || return 1
  fi
  install -m 600 "$pool" "$3"
}

# cert NAME KEYTYPE SIGNER [OPTION...] <TEMPLATE; SIGNER is self or the name of a former one
cert() {
  local n=$1 t=$2 by=$3; shift 3
  cat > "ca/$n.tmpl"; key "$t" "$n" "ca/$n.key"
  if [ "$by" = self ]; then set -- --generate-self-signed "$@"
  else set -- --generate-certificate --load-ca-certificate "ca/$by.pem" --load-ca-privkey "ca/$by.key" "$@"; fi
  certtool "$@" --load-privkey "ca/$n.key" --template "ca/$n.tmpl" --outfile "ca/$n.pem" >ca/log 2>&1 || { cat ca/log >&2; return 1; }
}

# ossl NAME KEYTYPE SIGNER SUBJECT [OPTION...] <EXTENSIONS: what certtool cannot make
ossl() {
  local n=$1 t=$2 by=$3 subj=$4; shift 4
  { echo '[e]'; cat; } > "ca/$n.ext"; key "$t" "$n" "ca/$n.key"
  if [ "$by" = self ]; then set -- -signkey "ca/$n.key" "$@"; else set -- -CA "ca/$by.pem" -CAkey "ca/$by.key" "$@"; fi
  openssl req -new -key "ca/$n.key" -subj "$subj" -utf8 -out "ca/$n.csr" 2>ca/log &&
  openssl x509 -req -in "ca/$n.csr" -days 365 -set_serial 9 -extfile "ca/$n.ext" -extensions e "$@" -out "ca/$n.pem" 2>ca/log ||
    { cat ca/log >&2; return 1; }
}

# crl NAME SIGNER [REVOKED...] <TEMPLATE
crl() {
  local n=$1 by=$2 c; shift 2
  cat > "ca/$n.tmpl"; : > "ca/$n.revoked"
  for c; do cat "ca/$c.pem" >> "ca/$n.revoked"; done
  set --; [ -s "ca/$n.revoked" ] && set -- --load-certificate "ca/$n.revoked"
  certtool --generate-crl "$@" --load-ca-certificate "ca/$by.pem" --load-ca-privkey "ca/$by.key" \
    --template "ca/$n.tmpl" --outfile "ca/$n.pem" >ca/log 2>&1 || { cat ca/log >&2; return 1; }
}

# deploy puts ca, server and client where daemon and client look.
deploy() {
  cp ca/ca.pem server/cacert.pem; cp ca/ca.pem client/cacert.pem
  cp ca/server.pem server/servercert.pem; cp ca/server.key server/serverkey.pem
  cp ca/client.pem client/clientcert.pem; cp ca/client.key client/clientkey.pem
}

# The three certificates that most scenarios begin with.
org_ca() { cert ca rsa self <<'E'
cn = "Org CA"
serial = 1
ca
cert_signing_key
crl_signing_key
expiration_days = 3650
E
}
org_server() { cert server rsa ca <<'E'
organization = "Org"
cn = "localhost"
serial = 2
dns_name = "localhost"
ip_address = "127.0.0.1"
ip_address = "::1"
tls_www_server
encryption_key
signing_key
expiration_days = 365
E
}
org_client() { cert client rsa ca <<'E'
country = GB
state = "London"
locality = "London"
organization = "Org"
cn = "client1"
serial = 3
tls_www_client
encryption_key
signing_key
expiration_days = 365
E
}
