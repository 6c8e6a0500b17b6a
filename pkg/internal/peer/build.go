package peer

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built are the programs of ours that were built, by name.
var built struct {
	sync.Mutex
	dir   string
	paths map[string]string
}

// Build builds a program of ours as it is shipped, once for all tests of a package, and gives its path: "virt-pki-pkcs11".
// Programs that look for each other beside themselves lie in one directory.
func Build(t testing.TB, name string) string {
	t.Helper()
	Need(t, "go")
	built.Lock()
	defer built.Unlock()
	if path := built.paths[name]; path != "" {
		return path
	}
	if built.dir == "" {
		dir, err := os.MkdirTemp("", "virt-pki-built-")
		if err != nil {
			t.Fatal(err)
		}
		built.dir, built.paths = dir, map[string]string{}
	}
	path := filepath.Join(built.dir, name)
	cmd := exec.Command("go", "build", "-o", path, "github.com/virt-pki/virt-pki/cmd/"+name)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", name, err, out)
	}
	built.paths[name] = path
	return path
}

// Main is the TestMain of a package that calls Build: it runs the tests, removes what was built, and exits.
func Main(m *testing.M) {
	status := m.Run()
	built.Lock()
	defer built.Unlock()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(status)
}
