package verify

import (
	"crypto/sha256"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A Memory remembers which signatures were found good, so that a thousand clients do not check the same server's
// certificate a thousand times, and what certificates a PEM or DER text holds, so that the same CA file is not read a
// thousand times. It remembers neither dates nor verdicts. The zero value is ready; it may be used by several goroutines. A nil
// *Memory remembers nothing.
type Memory struct {
	mu    sync.Mutex
	good  map[[sha256.Size]byte]struct{}
	lists map[[sha256.Size]byte][]*certs.Certificate // by PEM text
	certs map[[sha256.Size]byte]*certs.Certificate   // by DER; a text may be read as either
}

// maxRemembered bounds a Memory's signatures and maxLists its texts and certificates; what comes later is done every time.
const (
	maxRemembered = 1 << 16
	maxLists      = 1 << 12
)

func memoryKey(cert, issuer *certs.Certificate) [sha256.Size]byte {
	return signatureKey(cert.Raw, issuer.RawPublicKeyInfo)
}

func signatureKey(der, issuerKey []byte) (key [sha256.Size]byte) {
	h := sha256.New()
	h.Write(der)
	h.Write(issuerKey)
	h.Sum(key[:0])
	return key
}

// Signed notes a certificate whose signature was checked elsewhere: by who has just made it, as
// x509.CreateCertificate does. issuerKey is the issuer's SubjectPublicKeyInfo in DER.
func (m *Memory) Signed(der, issuerKey []byte) { m.add(signatureKey(der, issuerKey)) }

// list is certs.ImportPEMList.
func (m *Memory) list(text []byte, limit int) ([]*certs.Certificate, error) {
	all, err := m.all(text)
	switch {
	case err != nil && limit > 0:
		return certs.ImportPEMList(text, limit) // what is broken may lie beyond the limit
	case err == nil && limit > 0 && len(all) > limit:
		all = all[:limit:limit]
	}
	return all, err
}

// Import is certs.Import.
func (m *Memory) Import(der []byte) (*certs.Certificate, error) {
	if m == nil {
		return certs.Import(der)
	}
	key := sha256.Sum256(der)
	m.mu.Lock()
	c := m.certs[key]
	m.mu.Unlock()
	if c != nil {
		return c, nil
	}
	c, err := certs.Import(der)
	if err == nil {
		m.keep(c)
	}
	return c, err
}

// keep remembers certificates for Import.
func (m *Memory) keep(list ...*certs.Certificate) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.certs == nil {
		m.certs = map[[sha256.Size]byte]*certs.Certificate{}
	}
	for _, c := range list {
		if len(m.certs) < maxLists {
			m.certs[sha256.Sum256(c.Raw)] = c
		}
	}
}

// first is certs.ImportPEM.
func (m *Memory) first(text []byte) (*certs.Certificate, error) {
	if all, err := m.all(text); err == nil {
		return all[0], nil
	}
	return certs.ImportPEM(text)
}

// all reads all certificates of a text.
func (m *Memory) all(text []byte) ([]*certs.Certificate, error) {
	key := sha256.Sum256(text)
	m.mu.Lock()
	list := m.lists[key]
	m.mu.Unlock()
	if list != nil {
		return list, nil
	}
	list, err := certs.ImportPEMList(text, 0)
	if err != nil {
		return nil, err
	}
	m.keep(list...) // a peer will send them
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lists == nil {
		m.lists = map[[sha256.Size]byte][]*certs.Certificate{}
	}
	if len(m.lists) < maxLists {
		m.lists[key] = list
	}
	return list, nil
}

// knows reports whether issuer's key is known to have signed cert.
func (m *Memory) knows(cert, issuer *certs.Certificate) bool {
	if m == nil {
		return false
	}
	key := memoryKey(cert, issuer)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.good[key]
	return ok
}

// Good reports whether a certificate's signature was found to be by the key of issuer.
func (m *Memory) Good(cert, issuer *certs.Certificate) bool { return m.knows(cert, issuer) }

func (m *Memory) remember(cert, issuer *certs.Certificate) {
	if m == nil {
		return
	}
	m.add(memoryKey(cert, issuer))
}

func (m *Memory) add(key [sha256.Size]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.good == nil {
		m.good = map[[sha256.Size]byte]struct{}{}
	}
	if len(m.good) < maxRemembered {
		m.good[key] = struct{}{}
	}
}
