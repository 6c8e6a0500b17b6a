package uri

import "strings"

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

// maxIndex is the last index of an identity with one: clientcert3.pem (tlscerts).
const maxIndex = 3

// Several lists the identities that libvirt loads from 11.10 on where it finds this one (virNetTLSConfigIdentities): p itself, and
// those with an index, up to the first of which neither file exists. Without p there are only these, but at least one
// identity is always given, be it absent. exists is as for Choose.
func (p Pair) Several(exists func(string) bool) []Pair {
	var indexed []Pair
	for i := range maxIndex + 1 {
		q := p.indexed(i)
		if !q.begun(exists) {
			break
		}
		indexed = append(indexed, q)
	}
	if len(indexed) > 0 && !p.begun(exists) {
		return indexed
	}
	return append([]Pair{p}, indexed...)
}

func (p Pair) indexed(i int) Pair {
	index := string(rune('0'+i)) + ".pem"
	return Pair{strings.TrimSuffix(p.Cert, ".pem") + index, strings.TrimSuffix(p.Key, ".pem") + index}
}

// begun reports whether at least one half is there.
func (p Pair) begun(exists func(string) bool) bool { return exists(p.Cert) || exists(p.Key) }

// Identities lists the identities that a client of that version loads, in order of preference. Up to 11.9 it is one. From
// 11.10 on the user's directory counts when half of a pair is there, at which libvirt then stops, or one with the index 0.
func (f Files) Identities(exists func(string) bool, libvirt Version) []Pair {
	if !libvirt.AtLeast(11, 10) {
		c := f.Choose(exists)
		return []Pair{{c.Cert, c.Key}}
	}
	for i, p := range f.Identity {
		if i == len(f.Identity)-1 || p.begun(exists) || p.indexed(0).begun(exists) {
			return p.Several(exists)
		}
	}
	return nil
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
