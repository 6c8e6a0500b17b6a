package probe

import (
	"sync"

	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Cache remembers over many calls of [Dial], which must have the same Options, what does not change between them: the
// content of files, libvirt.conf, the client's own credentials judged and parsed, what a tls_priority means, and which
// signatures were found good. It does not grow with the number of URIs, but with that of the files they name. The zero
// value is ready; it may be used by several goroutines.
type Cache struct {
	memory      verify.Memory
	files       sync.Map // path -> *cached[fileContent]
	credentials sync.Map // verify-independent key -> *cached[verify.Loaded]
	priorities  sync.Map // string -> *cached[session]
	settings    cached[settingsRead]
}

type fileContent struct {
	data []byte
	err  error
}

type settingsRead struct {
	settings uri.Settings
	err      error
}

// cached is one value that is made once.
type cached[T any] struct {
	once  sync.Once
	value T
}

func (c *cached[T]) get(make func() T) T {
	c.once.Do(func() { c.value = make() })
	return c.value
}

func remember[T any](m *sync.Map, key any, make func() T) T {
	v, ok := m.Load(key)
	if !ok {
		v, _ = m.LoadOrStore(key, new(cached[T]))
	}
	return v.(*cached[T]).get(make)
}

// readFile wraps a function that reads files.
func (c *Cache) readFile(read func(string) ([]byte, error)) func(string) ([]byte, error) {
	return func(path string) ([]byte, error) {
		r := remember(&c.files, path, func() fileContent {
			b, err := read(path)
			return fileContent{b, err}
		})
		return r.data, r.err
	}
}

func (c *Cache) priority(text string, a *attempt) session {
	return remember(&c.priorities, text, func() session { return a.session(text) })
}

// credentialsKey tells credentials apart.
type credentialsKey struct {
	chosen   uri.Chosen
	noSanity bool
}
