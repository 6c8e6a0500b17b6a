package selinux

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// matchpathcon asks the real program for the contexts of paths.
func matchpathcon(t *testing.T, file, kind string, paths []string) []string {
	t.Helper()
	r := peer.Place{}.Run(t, append([]string{"matchpathcon", "-N", "-n", "-f", file, "-m", kind}, paths...)...)
	return strings.Split(strings.TrimSuffix(r.Stdout, "\n"), "\n")
}

// modes are the words of matchpathcon -m.
var modes = map[string]fs.FileMode{"file": 0, "dir": fs.ModeDir, "lnk_file": fs.ModeSymlink, "sock_file": fs.ModeSocket}

// TestLabelsByChanceAreThoseOfMatchpathcon compares lines and paths by chance with libselinux.
func TestLabelsByChanceAreThoseOfMatchpathcon(t *testing.T) {
	peer.Need(t, "matchpathcon")
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	rounds := 40
	if n, err := strconv.Atoi(os.Getenv("VIRT_PKI_TREES")); err == nil {
		rounds = n
	}
	plain := func() string { return pick("etc", "pki", "CA", "a", "b", "cacert.pem", "private", "x1") }
	component := func() string { return pick(plain(), plain(), plain(), plain(), "é") }
	expression := func() string {
		s := ""
		for range 1 + r.IntN(3) {
			s += "/" + pick(plain(), plain(), plain(), "[^/]*", "[^/]+", ".*", `cacert\.pem`, "(a|pki)", "x[0-9]?", "a?", `x\d`, "p.i", "e{1,2}tc", "[[:alpha:]]+",
				"(?:CA)", `\.\w+`)
		}
		return s + pick("", "", "", "(/.*)?", "/.*", "(/private)?", "/?", "|/a/b", "$", `\.pem`)
	}
	compared, unjudged, labelled := 0, 0, 0
	for range rounds {
		dir := t.TempDir()
		var all strings.Builder
		write := func(suffix string, lines int, line func() string) {
			var text strings.Builder
			for range lines {
				text.WriteString(line() + pick("\n", "\n", "\n", "\n# x\n", "\n\n"))
			}
			fmt.Fprintf(&all, "== %s\n%s", suffix, text.String())
			if err := os.WriteFile(filepath.Join(dir, "fc"+suffix), []byte(text.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		spec := func() string {
			n++
			return pick("", "", "  ") + expression() + pick("\t", "  ") + pick("", "", "-- ", "-d\t", "-l ", "-s ") + pick(fmt.Sprintf("u:r:t%d_t:s0", n), fmt.Sprintf("u:r:t%d_t:s0", n),
				fmt.Sprintf("u:r:t%d_t:s0", n), "<<none>>")
		}
		write("", 1+r.IntN(12), spec)
		if r.IntN(2) == 0 {
			write(".local", r.IntN(4), spec)
		}
		if r.IntN(2) == 0 {
			write(".homedirs", r.IntN(4), spec)
		}
		sub := func() string { return "/" + plain() + pick("", "/"+plain()) + " /" + plain() }
		if r.IntN(2) == 0 {
			write(".subs", r.IntN(4), sub)
		}
		if r.IntN(2) == 0 {
			write(".subs_dist", r.IntN(4), sub)
		}
		file := filepath.Join(dir, "fc")
		p, err := Open(file, os.ReadFile)
		if err != nil {
			t.Fatalf("%v\n%s", err, &all)
		}
		for kind, mode := range modes {
			var paths []string
			for range 12 {
				s := ""
				for range 1 + r.IntN(4) {
					s += pick("/", "/", "/", "//") + component() + pick("", "", "", ".pem", "1")
				}
				paths = append(paths, s+pick("", "", "/"))
			}
			want := matchpathcon(t, file, kind, paths)
			for i, name := range paths {
				got, err := p.Label(name, mode)
				var ue *UnjudgedError
				if errors.As(err, &ue) {
					unjudged++
					continue
				}
				compared++
				if got != "" {
					labelled++
				}
				if want := strings.TrimPrefix(want[i], "<<none>>"); got != want || err != nil {
					t.Errorf("%s %q: %q, %v; matchpathcon says %q\n%s", kind, name, got, err, want, &all)
				}
			}
		}
	}
	t.Log(compared, "compared,", labelled, "with a label,", unjudged, "not judged")
	if labelled == 0 || unjudged > compared/10 {
		t.Error("too few")
	}
}

// TestLabelsOfARealPolicy compares paths of this machine by the policy that is installed, or by the file_contexts that
// VIRT_PKI_FILE_CONTEXTS names.
func TestLabelsOfARealPolicy(t *testing.T) {
	file := os.Getenv("VIRT_PKI_FILE_CONTEXTS")
	if file == "" {
		if found, _ := filepath.Glob("/etc/selinux/*/contexts/files/file_contexts"); len(found) > 0 {
			file = found[0]
		}
	}
	if file == "" {
		t.Skip("no policy is installed, and VIRT_PKI_FILE_CONTEXTS names none")
	}
	peer.Need(t, "matchpathcon")
	p, err := Open(file, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"/etc/pki", "/etc/pki/CA/cacert.pem", "/etc/pki/CA/private/cakey.pem", "/etc/pki/libvirt/private/serverkey.pem", "/etc/pki/libvirt/servercert.pem",
		"/etc/pki/qemu/server-key.pem", "/root/.pki/libvirt/clientkey.pem", "/home/ann/.pki/libvirt/clientkey.pem", "/etc/libvirt/libvirtd.conf", "/var/run/libvirt/x"}
	for _, dir := range []string{"/etc", "/usr/bin", "/usr/lib", "/var", "/bin", "/lib/systemd"} {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && len(paths) < 20000 && !strings.ContainsAny(path, "\n") {
				paths = append(paths, path)
			}
			return nil
		})
	}
	compared := 0
	for kind, mode := range modes {
		for at := 0; at < len(paths); at += 1000 {
			some := paths[at:min(at+1000, len(paths))]
			want := matchpathcon(t, file, kind, some)
			for i, name := range some {
				compared++
				if got, err := p.Label(name, mode); err != nil || got != strings.TrimPrefix(want[i], "<<none>>") {
					t.Errorf("%s %q: %q, %v; matchpathcon says %q", kind, name, got, err, want[i])
				}
			}
		}
	}
	t.Log(compared, "compared")
}
