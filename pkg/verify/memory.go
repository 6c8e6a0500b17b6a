package verify

import (
	"crypto/sha256"
	"sync"

	"github.com/virt-pki/virt-pki/pkg/certs"
)

// A Memory remembers which signatures were found good, so that a thousand clients do not check the same server's
// certificate a thousand times. It remembers neither dates nor verdicts. The zero value is ready; it may be used by
// several goroutines. A nil *Memory remembers nothing.
type Memory struct {
	mu   sync.Mutex
	good map[[sha256.Size]byte]struct{}
}

// maxRemembered bounds a Memory; what comes later is checked every time.
const maxRemembered = 1 << 16

func memoryKey(cert, issuer *certs.Certificate) (key [sha256.Size]byte) {
	h := sha256.New()
	h.Write(cert.Raw)
	h.Write(issuer.RawPublicKeyInfo)
	h.Sum(key[:0])
	return key
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

func (m *Memory) remember(cert, issuer *certs.Certificate) {
	if m == nil {
		return
	}
	key := memoryKey(cert, issuer)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.good == nil {
		m.good = map[[sha256.Size]byte]struct{}{}
	}
	if len(m.good) < maxRemembered {
		m.good[key] = struct{}{}
	}
}
