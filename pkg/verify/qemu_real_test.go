package verify

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// runQEMU puts directories to a real QEMU and gives what it says to each, "" where it takes it. qemu-img loads the
// credentials of its objects before it looks at anything else. Those that are expected to be taken are put to one process;
// only if that says no, one by one.
func runQEMU(t testing.TB, place peer.Place, cases []qemuCase, taken func(i int) bool) []string {
	t.Helper()
	dir := peer.Dir(t)
	if err := os.WriteFile(filepath.Join(dir, "image"), make([]byte, 1<<16), 0o644); err != nil {
		t.Fatal(err)
	}
	// Without this file a QEMU before 10.2 takes a quarter of a second to make up what it would hold.
	group := []byte(peer.Certtool(t, "--get-dh-params", "--bits=2048"))
	var good, single strings.Builder
	for i, c := range cases {
		d := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, data := range c.files {
			path := filepath.Join(d, name)
			var err error
			if data == nil {
				err = os.Mkdir(path, 0o755)
			} else {
				err = os.WriteFile(path, data, 0o644)
			}
			if err == nil && slices.Contains(c.denied, name) {
				err = os.Chmod(path, 0)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(d, "dh-params.pem"), group, 0o644); err != nil {
			t.Fatal(err)
		}
		object := fmt.Sprintf("--object tls-creds-x509,id=t%d,endpoint=%v,dir=%s,verify-peer=yes", i, c.role, d)
		list := &single
		if taken(i) {
			list = &good
		}
		fmt.Fprintln(list, object)
	}
	for name, list := range map[string]*strings.Builder{"good": &good, "single": &single} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(list.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// One line of output for each that is refused; its directory is in it.
	const script = `cd "$1"
		[ ! -s good ] || qemu-img info $(cat good) -f raw image >/dev/null 2>&1 || cat good >>single2
		cat single >>single2
		xargs -P2 -d '\n' -I{} sh -c 'said=$(qemu-img info $1 -f raw image 2>&1 >/dev/null) || echo "$1 $said"' sh {} <single2`
	place.Timeout = 120 * time.Second
	out := make([]string, len(cases))
	if place.User != "" {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for line := range strings.Lines(place.Must(t, "sh", "-c", script, "sh", dir)) {
		object, said, ok := strings.Cut(strings.TrimSuffix(line, "\n"), ",verify-peer=yes ")
		var i int
		if _, err := fmt.Sscanf(object, "--object tls-creds-x509,id=t%d,", &i); err != nil || !ok {
			t.Fatalf("qemu-img says %q", line)
		}
		said = strings.ReplaceAll(said, filepath.Join(dir, fmt.Sprint(i))+"/", "/d/")
		out[i] = strings.TrimPrefix(said, "qemu-img: ")
	}
	return out
}

// files are a case's as QEMU finds them.
func (c qemuCase) judged(v QEMUVersion) QEMUFiles {
	file := func(name string) File {
		data, ok := c.files[name]
		f := File{Path: "/d/" + name, Data: data}
		switch {
		case !ok:
			f.Err = syscall.ENOENT
		case slices.Contains(c.denied, name):
			f.Data, f.Err = nil, syscall.EACCES
		case data == nil:
			f.Err = syscall.EISDIR
		}
		return f
	}
	side := c.role.String()
	q := QEMUFiles{Role: c.role, CA: file("ca-cert.pem"), CRL: file("ca-crl.pem"), At: time.Now(), QEMU: v}
	for _, index := range []string{"", "-0", "-1", "-2", "-3"} {
		q.Identities = append(q.Identities, Pair{file(side + "-cert" + index + ".pem"), file(side + "-key" + index + ".pem")})
	}
	return q
}

// qemuRoot gives a place in a root that has QEMU's tools.
func qemuRoot(t *testing.T, name string) peer.Place {
	t.Helper()
	root := peer.NeedRootFS(t, name)
	if _, err := os.Stat(filepath.Join(root, "usr/bin/qemu-img")); err != nil {
		why := fmt.Sprintf("no qemu-img in %s: complete it with scripts/libvirt-root %s %s", root, name, root)
		if peer.Required() {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return peer.Place{Root: root}
}

func agrees(t *testing.T, place peer.Place, v QEMUVersion, cases []qemuCase) {
	t.Helper()
	if v.chains() {
		cases = slices.DeleteFunc(slices.Clone(cases), func(c qemuCase) bool { return c.mismatched })
	}
	messages, rules := make([]string, len(cases)), make([]string, len(cases))
	for i, c := range cases {
		messages[i], rules[i], _ = first(c.judged(v).Check())
	}
	for i, said := range runQEMU(t, place, cases, func(i int) bool { return messages[i] == "" }) {
		if messages[i] != said {
			t.Errorf("%s:\n says %q\n we   %q [%s]", cases[i].name, said, messages[i], rules[i])
		}
	}
}

func TestRealQEMUAgrees(t *testing.T) {
	peer.Need(t, "qemu-img", "certtool", "xargs")
	agrees(t, peer.Place{}, QEMU7_2, qemuCases(t))
}

// Each rule is broken by some case, and each of its messages is said.
func TestEveryQEMURuleIsBroken(t *testing.T) {
	cases := qemuCases(t)
	cases = append(cases, qemuCase{name: "denied", role: certs.Server, files: cases[0].files, denied: []string{"ca-cert.pem"}})
	broken, said := map[string]bool{}, map[string]bool{}
	for _, c := range cases {
		for _, v := range MeasuredQEMU() {
			for _, f := range c.judged(v).Check() {
				broken[f.Rule] = true
				if f.LibvirtMessage == "" {
					continue
				}
				r := rule(f.Rule)
				if !anyMessage(r, f.LibvirtMessage) {
					t.Errorf("%s: %q is none of the messages of %s", c.name, f.LibvirtMessage, f.Rule)
				}
				for _, m := range r.LibvirtMessages {
					if anyMessage(finding.Rule{ID: r.ID, LibvirtMessages: []string{m}}, f.LibvirtMessage) {
						said[r.ID+": "+m] = true
					}
				}
				if !strings.HasSuffix(f.Message, ".") {
					t.Errorf("%s: %q is no sentence", c.name, f.Message)
				}
			}
		}
	}
	for _, r := range qemuRules {
		if r.Title == "" || r.Text == "" || r.Good == "" || r.Bad == "" || r.Source == "" || r.Remedy == "" || r.Severity == 0 || r.Effect == "" {
			t.Errorf("rule %s is not whole", r.ID)
		}
		if !broken[r.ID] {
			t.Errorf("no case breaks %s", r.ID)
		}
		for _, m := range r.LibvirtMessages {
			if !said[r.ID+": "+m] {
				t.Errorf("no case of %s says %q", r.ID, m)
			}
		}
	}
	for _, v := range MeasuredQEMU() {
		if fs := cases[0].judged(v).Check(); len(fs) != 0 {
			t.Errorf("QEMU %v finds something in good files: %v", v, fs)
		}
	}
}

func TestRealNewerQEMUsAgree(t *testing.T) {
	cases := qemuCases(t)
	t.Run("sid", func(t *testing.T) { agrees(t, qemuRoot(t, "sid"), QEMU11_1, cases) })
	// 10.0 answered to all cases as 7.2; a part of them is enough to notice when that ends.
	var some []qemuCase
	for i := 0; i < len(cases); i += 8 {
		some = append(some, cases[i])
	}
	t.Run("trixie", func(t *testing.T) { agrees(t, qemuRoot(t, "trixie"), QEMU10_0, some) })
}

// TestRealQEMUWithoutPermission runs QEMU as a user who may not read some of the files, as with guests.
func TestRealQEMUWithoutPermission(t *testing.T) {
	peer.Need(t, "qemu-img", "certtool", "xargs")
	peer.NeedRoot(t)
	var cases []qemuCase
	base := qemuCases(t)[0]
	for _, name := range []string{"ca-cert.pem", "server-cert.pem", "server-key.pem", "ca-crl.pem"} {
		c := qemuCase{name: name + " may not be read", role: base.role, files: maps.Clone(base.files), denied: []string{name}}
		if name == "ca-crl.pem" {
			c.files[name] = []byte("x")
		}
		cases = append(cases, c)
	}
	t.Run("this machine's", func(t *testing.T) { agrees(t, peer.Place{User: "nobody"}, QEMU7_2, cases) })
	t.Run("sid", func(t *testing.T) {
		place := qemuRoot(t, "sid")
		place.User = "nobody"
		agrees(t, place, QEMU11_1, cases)
	})
}
