package uri

// Pair is a certificate with its key.
type Pair struct{ Cert, Key string }

// Files are the credential files a TLS connection uses, as candidates in order of preference
// (virNetTLSContextLocateCredentials, from 11.10 on virNetTLSConfigUserIdentity and its kin).
type Files struct {
	// CA and CRL: the first that exists is used, and the last if none does.
	CA, CRL []string
	// Identity: the first pair of which both files exist is used, and the last if none is whole.
	Identity []Pair
}

// Chosen are the files that are really used.
type Chosen struct{ CA, CRL, Cert, Key string }

// Files gives the candidates; ok is false for a transport without TLS.
func (u URI) Files() (f Files, ok bool) {
	if u.transport != TLS {
		return Files{}, false
	}
	if dir, ok := u.value["pkipath"]; ok {
		return Files{
			CA:       []string{dir + "/cacert.pem"},
			CRL:      []string{dir + "/cacrl.pem"},
			Identity: []Pair{{dir + "/clientcert.pem", dir + "/clientkey.pem"}},
		}, true
	}
	if !u.o.Root {
		dir := u.o.Home + "/.pki/libvirt"
		f.CA = append(f.CA, dir+"/cacert.pem")
		f.CRL = append(f.CRL, dir+"/cacrl.pem")
		f.Identity = append(f.Identity, Pair{dir + "/clientcert.pem", dir + "/clientkey.pem"})
	}
	f.CA = append(f.CA, "/etc/pki/CA/cacert.pem")
	f.CRL = append(f.CRL, "/etc/pki/CA/cacrl.pem")
	f.Identity = append(f.Identity, Pair{"/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"})
	return f, true
}

// Choose picks as libvirt does. exists reports whether a file is there (access F_OK: readable or not); nil: nothing is.
// A half pair in the user's directory is passed over, as up to 11.9; from 11.10 on libvirt stops at it, which is for
// the caller to notice.
func (f Files) Choose(exists func(string) bool) Chosen {
	if exists == nil {
		exists = func(string) bool { return false }
	}
	first := func(list []string) string {
		for i, p := range list {
			if i == len(list)-1 || exists(p) {
				return p
			}
		}
		return ""
	}
	c := Chosen{CA: first(f.CA), CRL: first(f.CRL)}
	for i, p := range f.Identity {
		if i == len(f.Identity)-1 || exists(p.Cert) && exists(p.Key) {
			c.Cert, c.Key = p.Cert, p.Key
			break
		}
	}
	return c
}
