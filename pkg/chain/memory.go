package chain

import (
	"crypto/sha256"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
)

// A Memory remembers of revocation lists, over many questions with the same *crl.List, who signed them and whether their entries
// can all be read: a list of a million entries is gone through once for that. The zero value is ready; it may be used by
// several goroutines.
type Memory struct {
	mu    sync.Mutex
	lists map[*crl.List]*known
}

// maxKnown bounds what a Memory remembers; what comes later is looked at every time.
const maxKnown = 1 << 10

// known is what is known of a list.
type known struct {
	mu     sync.Mutex
	signed map[[sha256.Size]byte]error // by the key it was asked about

	entries  sync.Once
	readable bool // all entries can be processed
	indirect bool // some is of another issuer
}

// list gives what is known of a list.
func (m *Memory) list(l *crl.List) *known {
	if m == nil {
		return &known{}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.lists[l]
	if k == nil {
		k = &known{}
		if m.lists == nil {
			m.lists = map[*crl.List]*known{}
		}
		if len(m.lists) < maxKnown {
			m.lists[l] = k
		}
	}
	return k
}

// signedBy reports whether a list is signed with the key of c; work is called where that has to be found out, and says no
// when there has been too much.
func (k *known) signedBy(l *crl.List, c *certs.Certificate, work func() bool) bool {
	key := sha256.Sum256(c.RawPublicKeyInfo)
	k.mu.Lock()
	defer k.mu.Unlock()
	err, done := k.signed[key]
	if !done {
		if !work() {
			return false
		}
		err = l.CheckSignature(c)
		if k.signed == nil {
			k.signed = map[[sha256.Size]byte]error{}
		}
		k.signed[key] = err
	}
	return err == nil
}

// look goes through the entries once.
func (k *known) look(l *crl.List) {
	k.entries.Do(func() {
		k.readable = true
		for e, err := range l.Entries() {
			if err != nil || e.UnknownCritical || e.Serial == nil { // an entry may be empty for GnuTLS
				k.readable = false
				return
			}
			k.indirect = k.indirect || e.Issuer != nil
		}
	})
}
