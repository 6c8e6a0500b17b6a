package peer

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// RootNames are the roots the tests know: Debian suites whose libvirt differs from this machine's.
var RootNames = []string{"trixie", "sid"}

// A Root is an installation of libvirt.
type Root struct {
	// Name is "host" or a name of RootNames.
	Name string
	// Dir is the root's directory, for Place.Root; empty for the host.
	Dir string
	// Libvirt is the version, "9.0.0".
	Libvirt string
	// Package is the Debian package's version, "11.3.0-3+deb13u3" (Debian's 11.3.0 has later rules than upstream's), or
	// empty where there is none.
	Package string
}

// Roots gives this machine's libvirt and those in roots, oldest first in general. Missing ones are left out with a note
// in the test's log, or fail the test when peers are required.
func Roots(t testing.TB) []Root {
	t.Helper()
	Need(t, "virsh", "libvirtd")
	roots := []Root{newRoot(t, "host", "")}
	for _, name := range RootNames {
		dir := filepath.Join(rootsDir(), name)
		switch why := lacksRoot(dir); {
		case why == "":
			roots = append(roots, newRoot(t, name, dir))
		case Required():
			t.Fatalf("VIRT_PKI_REQUIRE_PEERS=1, but %s", why)
		default:
			t.Logf("without libvirt of %s: %s", name, why)
		}
	}
	return roots
}

// NeedRootFS gives the directory of the root of one name ("trixie"), and skips or fails the test where it is missing.
func NeedRootFS(t testing.TB, name string) string {
	t.Helper()
	dir := filepath.Join(rootsDir(), name)
	if why := lacksRoot(dir); why != "" {
		lack(t, why)
	}
	NeedNamespaces(t)
	return dir
}

// rootsDir is where the roots are: VIRT_PKI_ROOTS, or the place where "make test" builds them.
func rootsDir() string {
	if dir := os.Getenv("VIRT_PKI_ROOTS"); dir != "" {
		return dir
	}
	return "/var/cache/virt-pki/roots"
}

// lacksRoot says why dir cannot be used as a root, "" when it can.
func lacksRoot(dir string) string {
	for _, file := range []string{"usr/sbin/libvirtd", "usr/bin/virsh", "etc/pki"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			return "no root with libvirt in " + dir + ": make it with scripts/libvirt-root " + filepath.Base(dir) + " " + dir
		}
	}
	if os.Geteuid() != 0 {
		return "using the root " + dir + " needs root"
	}
	if err := namespaces(); err != "" {
		return "no mount and network namespaces here: " + err
	}
	return ""
}

var roots sync.Map // directory -> Root

// newRoot asks a root for its versions, once.
func newRoot(t testing.TB, name, dir string) Root {
	t.Helper()
	if r, ok := roots.Load(dir); ok {
		return r.(Root)
	}
	in := Place{Root: dir}
	r := Root{Name: name, Dir: dir, Libvirt: strings.TrimSpace(in.Must(t, "virsh", "--version"))}
	if dir != "" || lookPath("dpkg-query") != "" {
		if v := in.Run(t, "dpkg-query", "--showformat=${Version}", "--show", "libvirt-daemon"); v.Exit == 0 {
			r.Package = v.Stdout
		}
	}
	roots.Store(dir, r)
	return r
}
