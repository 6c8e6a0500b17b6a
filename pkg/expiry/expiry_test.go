package expiry

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

func TestThresholds(t *testing.T) {
	span := func(s string) (time.Duration, error) { return time.ParseDuration(s) }
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	const day = 24 * time.Hour
	for _, c := range []struct {
		threshold      string
		lifetime, left time.Duration
		due            bool
	}{
		{"720h", 365 * day, 31 * day, false},
		{"720h", 365 * day, 30 * day, false}, // 30 days left is not less than 30 days
		{"720h", 365 * day, 30*day - time.Second, true},
		{"720h", 365 * day, -day, true},
		{"720h", 10 * day, 9 * day, false}, // shorter than the threshold: half its life
		{"720h", 10 * day, 4 * day, true},
		{"20%", 100 * day, 21 * day, false},
		{"20%", 100 * day, 19 * day, true},
		{"100%", 100 * day, 99 * day, true},
		{"0%", 100 * day, day, false},
		{"12.5%", 80 * day, 9 * day, true},
	} {
		th, err := ParseThreshold(c.threshold, span)
		if err != nil {
			t.Fatal(err)
		}
		end := now.Add(c.left)
		if got := th.Due(end.Add(-c.lifetime), end, now); got != c.due {
			t.Errorf("%s of %v with %v left: due %v", c.threshold, c.lifetime, c.left, got)
		}
	}
	for _, bad := range []string{"", "x%", "101%", "-1%", "NaN%", "x"} {
		if _, err := ParseThreshold(bad, span); err == nil {
			t.Errorf("%q is let in", bad)
		}
	}
}

func watched(t *testing.T, w *Watch) string {
	t.Helper()
	var b strings.Builder
	for _, e := range w.Endings() {
		level := "ok"
		if e.Level > 0 {
			level = e.Level.String()
		}
		fmt.Fprintf(&b, "%s %d %s: %s\n", level, e.Days(w.Now), e.Name, e.Then)
	}
	return b.String()
}

func TestWhatStopsWorking(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	n := 0
	entry := func(host string, role certs.Role, layout string, days int, state inventory.State) inventory.Entry {
		n++
		end := now.AddDate(0, 0, days)
		return inventory.Entry{Key: inventory.Key{Serial: fmt.Sprint(n)}, Host: host, Role: role, Layout: layout, NotBefore: end.AddDate(-1, 0, 0),
			NotAfter: end, State: state, PEM: []byte(fmt.Sprint(n))}
	}
	revoked := entry("gone", certs.Client, "libvirt", 1, inventory.Published)
	revoked.Revoked = &inventory.Revocation{At: now}
	w := &Watch{Now: now, Warn: Threshold{Left: 30 * 24 * time.Hour}, Fail: Threshold{Left: 7 * 24 * time.Hour}}
	w.Inventory([]inventory.Entry{
		entry("kvm1", certs.Server, "libvirt", 29, inventory.Published),
		entry("kvm1", certs.Peer, "qemu", 5, inventory.Published),
		entry("kvm2", certs.Peer, "libvirt-migrate", 100, inventory.Published),
		entry("kvm3", certs.Peer, "qemu", 101, inventory.Issued),
		entry("kvm4", certs.Peer, "qemu", 2, inventory.Superseded),
		entry("kvm5", certs.Server, "libvirt-vnc", 40, inventory.Published),
		entry("alice", certs.Client, "user", -1, inventory.Published),
		entry("kvm6", certs.Peer, "pkipath", 50, inventory.Published),
		entry("never", certs.Client, "libvirt", 3, inventory.Abandoned),
		revoked,
	})
	want := `error -1 alice: alice no longer connects: its own libvirt refuses the certificate
error 5 kvm1: kvm1 can no longer receive migrations from, or send them to, kvm2, kvm3
warning 29 kvm1: the daemon on kvm1 no longer starts, and clients refuse it while it runs
ok 40 kvm5: VNC over TLS on kvm5 no longer works
ok 50 kvm6: the daemon on kvm6 no longer starts, and kvm6 no longer connects to others
ok 100 kvm2: kvm2 can no longer receive migrations from, or send them to, kvm1, kvm3
ok 101 kvm3: kvm3 can no longer receive migrations from, or send them to, kvm1, kvm2
`
	if got := watched(t, w); got != want {
		t.Errorf("%s", got)
	}
}

func TestScanFindsWhatLiesInFiles(t *testing.T) {
	ca := testpki.NewCA(t)
	server, client, old := ca.Server("kvm1.example.com"), ca.Client("alice"), ca.Client("bob")
	list, err := crl.Parse(ca.CRL(3))
	if err != nil {
		t.Fatal(err)
	}
	file := func(parts ...[]byte) *fstest.MapFile {
		f := &fstest.MapFile{Mode: 0o644}
		for _, p := range parts {
			f.Data = append(f.Data, p...)
		}
		return f
	}
	fsys := fstest.MapFS{
		"etc/pki/CA/cacert.pem":                 file(ca.CertPEM()),
		"etc/pki/CA/cacrl.pem":                  file(list.PEM()),
		"etc/pki/libvirt/servercert.pem":        file(server.CertPEM(), server.KeyPEM()),
		"etc/pki/libvirt-vnc/server-cert.pem":   file([]byte("text before\n"), server.CertPEM()),
		"home/a/.pki/libvirt/clientcert.pem":    file(client.CertPEM()),
		"home/b/clientcert.pem":                 file(old.CertPEM()),
		"etc/pki/libvirt/private/serverkey.pem": {Mode: 0},
		"notes.txt":                             file(ca.CertPEM()),
		"binary":                                file([]byte{0, 1, 2}),
		"empty.pem":                             file(),
		"broken.pem":                            file(ca.CertPEM()[:200]),
		"link.pem":                              {Mode: fs.ModeSymlink, Data: []byte("etc/pki/CA/cacert.pem")},
	}
	w := &Watch{Now: time.Now(), Warn: Threshold{Share: 0.99}}
	imported, err := certs.Import(old.DER)
	if err != nil {
		t.Fatal(err)
	}
	w.Inventory([]inventory.Entry{{Key: inventory.Key{Serial: "9"}, Host: "bob", Role: certs.Client, Layout: "libvirt", PEM: old.CertPEM(),
		NotBefore: imported.NotBefore, NotAfter: imported.NotAfter, State: inventory.Superseded}})
	err = w.Scan(fsys, func(name string) string { return "/t/" + name })
	if err == nil || !strings.HasPrefix(err.Error(), `looking for certificates in "/t/broken.pem": `) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
	got := map[string]string{}
	for _, e := range w.Endings() {
		got[string(e.Kind)+" "+e.Name] = fmt.Sprintf("%v %s %s %v", e.Role, e.Layout, e.State, e.Files)
	}
	for what, want := range map[string]string{
		"ca CN=Test CA":                "certs.Role(0)  foreign [/t/etc/pki/CA/cacert.pem]",
		"crl CN=Test CA":               "certs.Role(0)  foreign [/t/etc/pki/CA/cacrl.pem]",
		"certificate kvm1.example.com": "server libvirt foreign [/t/etc/pki/libvirt/servercert.pem /t/etc/pki/libvirt-vnc/server-cert.pem]",
		"certificate alice":            "client user foreign [/t/home/a/.pki/libvirt/clientcert.pem]",
		"certificate bob":              "client libvirt superseded [/t/home/b/clientcert.pem]",
	} {
		if what = strings.TrimSpace(what); !strings.HasSuffix(strings.Join(strings.Fields(got[what]), " "), strings.Join(strings.Fields(want)[1:], " ")) || got[what] == "" {
			t.Errorf("%s: %q, want %q", what, got[what], want)
		}
		delete(got, what)
	}
	if len(got) > 0 {
		t.Errorf("also found: %v", got)
	}
}
