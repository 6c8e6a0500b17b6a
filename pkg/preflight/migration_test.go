package preflight

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A qemuWorld is what two hosts have in their directories of QEMU's.
type qemuWorld struct {
	name                string
	source, destination files // below the directory
	verifyOff           bool
	host                string // how the destination is called; default: localhost
	want                string // outcome and rule
	// where restricts the comparison with real programs to some versions.
	where func(verify.QEMUVersion) bool
}

func pemOfList(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func qemuDir(ca []byte, server, client *testpki.Identity) files {
	f := files{"ca-cert.pem": ca}
	f.put("server", "", server)
	f.put("client", "", client)
	return f
}

func (f files) put(role, index string, id *testpki.Identity) {
	if id != nil {
		f[role+"-cert"+index+".pem"], f[role+"-key"+index+".pem"] = id.ChainPEM(), id.KeyPEM()
	}
}

func (f files) with(change func(files)) files {
	out := files{}
	for n, b := range f {
		out[n] = b
	}
	change(out)
	return out
}

func qemuWorlds(t *testing.T) []qemuWorld {
	ca, other := testpki.NewCA(t), testpki.NewCA(t, testpki.CN("Other"))
	server, client := ca.Server("localhost"), ca.Client("source")
	good := func() files { return qemuDir(ca.CertPEM(), server, client) }
	both := append(ca.CertPEM(), other.CertPEM()...)
	new := func(v verify.QEMUVersion) bool { return v == verify.QEMU11_1 }
	old := func(v verify.QEMUVersion) bool { return v != verify.QEMU11_1 }
	between := ca.Intermediate("Between")
	return []qemuWorld{
		{name: "good", source: good(), destination: good(), want: "connected"},
		{name: "another name", source: good(), destination: good(), host: "127.0.0.1", want: "client-rejects-server [qemu-host-mismatch]"},
		{name: "no certificate of the source's", source: files{"ca-cert.pem": ca.CertPEM()}, destination: good(),
			want: "server-rejects-client [qemu-peer-without-certificate]"},
		{name: "no certificate of the source's, and nobody asks", source: files{"ca-cert.pem": ca.CertPEM()}, destination: good(), verifyOff: true, want: "connected"},
		{name: "the source is of a CA that the destination does not name", source: qemuDir(both, nil, other.Client("source")), destination: good(),
			want: "server-rejects-client [qemu-peer-without-certificate]"},
		{name: "the same, and nobody asks", source: qemuDir(both, nil, other.Client("source")), destination: good(), verifyOff: true, want: "connected"},
		{name: "the destination is of a CA that the source does not know", source: good(), destination: qemuDir(both, other.Server("localhost"), nil),
			want: "client-rejects-server [qemu-peer-unknown-issuer]"},
		{name: "a revoked source", source: good(), destination: good().with(func(f files) { f["ca-crl.pem"] = pemOfList(ca.CRL(1, client)) }),
			want: "server-rejects-client [qemu-peer-revoked]"},
		{name: "a revoked source, and nobody asks", source: good(), destination: good().with(func(f files) { f["ca-crl.pem"] = pemOfList(ca.CRL(1, client)) }),
			verifyOff: true, want: "connected"},
		{name: "a revoked destination, which the source does not look at",
			source: good().with(func(f files) { f["ca-crl.pem"] = pemOfList(ca.CRL(1, server)) }), destination: good(), want: "connected"},
		{name: "a small key of the destination's", source: good(), destination: qemuDir(ca.CertPEM(), ca.Server("localhost", testpki.Key(testpki.RSA1024)), nil), want: "connected"},
		{name: "the destination's certificate has expired", source: good(), destination: qemuDir(ca.CertPEM(), ca.Server("localhost", testpki.Expired()), nil),
			want: "daemon-down [qemu-certificate-expired]"},
		{name: "the source's certificate has expired", source: qemuDir(ca.CertPEM(), nil, ca.Client("source", testpki.Expired())), destination: good(),
			want: "client-local [qemu-certificate-expired]"},
		{name: "the destination has no certificate", source: good(), destination: qemuDir(ca.CertPEM(), nil, client), want: "daemon-down [qemu-certificate-missing]"},
		{name: "an intermediate that the destination sends along", source: good(),
			destination: qemuDir(append(ca.CertPEM(), between.CertPEM()...), between.Server("localhost"), nil), want: "connected"},
		{name: "an intermediate that the destination does not send", source: good(),
			destination: qemuDir(append(ca.CertPEM(), between.CertPEM()...), between.Server("localhost"), nil).with(func(f files) {
				id := between.Server("localhost")
				f["server-cert.pem"], f["server-key.pem"] = id.CertPEM(), id.KeyPEM()
			}), want: "client-rejects-server [qemu-peer-unknown-issuer]"},
		{name: "a stranger behind the destination's, which is not sent", source: good(), where: old,
			destination: good().with(func(f files) {
				f["server-cert.pem"] = append(server.CertPEM(), ca.Intermediate("Old", testpki.Expired()).CertPEM()...)
			}), want: "connected"},
		{name: "an expired certificate of a CA that has been given another", where: old,
			source: good().with(func(f files) { f["ca-cert.pem"] = append(ca.CertPEM(), between.CertPEM()...) }),
			destination: qemuDir(append(ca.CertPEM(), between.CertPEM()...), between.Server("localhost"), nil).with(func(f files) {
				leaf, _ := pem.Decode(f["server-cert.pem"])
				f["server-cert.pem"] = append(pem.EncodeToMemory(leaf), ca.Intermediate("Between", testpki.WithKey(between.Key), testpki.Expired()).CertPEM()...)
			}), want: "client-rejects-server [qemu-peer-out-of-date]"},
		{name: "an empty subject", source: good(), destination: qemuDir(ca.CertPEM(), ca.Server("localhost", testpki.EmptySubject()), nil),
			want: "client-rejects-server [qemu-peer-name-unreadable]"},
		{name: "a certificate for clients alone, not critical", source: good(),
			destination: qemuDir(ca.CertPEM(), ca.Server("localhost", testpki.Purpose(false, testpki.OIDClientAuth)), nil), want: "connected"},
		{name: "a source without digitalSignature, not critical", destination: good(),
			source: qemuDir(ca.CertPEM(), nil, ca.Client("source", testpki.KeyUsage(false, x509.KeyUsageKeyEncipherment))),
			want:   "server-rejects-client [qemu-peer-without-certificate]"},
		{name: "the second identity is of the CA that is named", where: new, destination: good(),
			source: qemuDir(both, nil, other.Client("first")).with(func(f files) { f.put("client", "-0", client) }), want: "connected"},
		{name: "half of a second identity", where: new, destination: good(),
			source: good().with(func(f files) { f.put("client", "-0", client); delete(f, "client-key-0.pem") }), want: "client-local [qemu-half-identity]"},
		{name: "half of an identity, before 10.2", where: old, destination: good(),
			source: good().with(func(f files) { delete(f, "client-key.pem") }), want: "server-rejects-client [qemu-peer-without-certificate]"},
	}
}

// predicted gives a world's cell, with the files in dirs of these names.
func (w qemuWorld) predicted(t *testing.T, v verify.QEMUVersion, source, destination string) Cell {
	t.Helper()
	host := w.host
	if host == "" {
		host = "localhost"
	}
	make := func(name, dir string, f files, more string) Host {
		all := files{"/etc/libvirt/qemu.conf": []byte(fmt.Sprintf("migrate_tls_x509_cert_dir = %q\n%s", dir, more)), dir: nil}
		for n, b := range f {
			all[dir+"/"+n] = b
		}
		h := hostOf(name, all, "")
		h.Daemon.Kind, h.QEMU = conf.Libvirtd, &QEMU{Version: v, Hostname: name}
		return h
	}
	more := fmt.Sprintf("migration_host = %q\n", host)
	if w.verifyOff {
		more += "migrate_tls_x509_verify = 0\n"
	}
	m := cross(t, make("source", source, w.source, ""), make("destination", destination, w.destination, more))
	g, err := m.Migrate(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range g.Cells {
		if c.Client == 0 {
			return c
		}
	}
	t.Fatal("no cell")
	return Cell{}
}

// TestMigrationsAreWhatRealQEMUDoes puts both ends' directories to qemu-nbd and qemu-img of three releases, which judge with
// the code of migrations.
func TestMigrationsAreWhatRealQEMUDoes(t *testing.T) {
	peer.Need(t, "qemu-nbd", "qemu-img")
	places := []struct {
		name  string
		v     verify.QEMUVersion
		place peer.Place
	}{{"this machine's", verify.QEMU7_2, peer.Place{}}}
	for _, r := range []struct {
		name string
		v    verify.QEMUVersion
	}{{"trixie", verify.QEMU10_0}, {"sid", verify.QEMU11_1}} {
		if testing.Short() && r.name == "trixie" {
			continue
		}
		places = append(places, struct {
			name  string
			v     verify.QEMUVersion
			place peer.Place
		}{r.name, r.v, peer.Place{Root: peer.NeedRootFS(t, r.name)}})
	}
	worlds := qemuWorlds(t)
	group := []byte(peer.Certtool(t, "--get-dh-params", "--bits=2048"))
	for _, p := range places {
		for _, w := range worlds {
			if w.where != nil && !w.where(p.v) {
				continue
			}
			t.Run(w.name+", QEMU of "+p.name, func(t *testing.T) {
				dirs := map[string]string{"source": peer.Dir(t), "destination": peer.Dir(t)}
				for end, f := range map[string]files{"source": w.source, "destination": w.destination} {
					for name, b := range f {
						if err := os.WriteFile(filepath.Join(dirs[end], name), b, 0o644); err != nil {
							t.Fatal(err)
						}
					}
					// Without it an old QEMU takes a while to make one.
					if err := os.WriteFile(filepath.Join(dirs[end], "dh-params.pem"), group, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				c := w.predicted(t, p.v, dirs["source"], dirs["destination"])
				got := string(c.Outcome)
				if c.Cause.Rule != "" {
					got += " [" + c.Cause.Rule + "]"
				}
				if got != w.want {
					t.Errorf("predicted %s, want %s: %s", got, w.want, c.Cause.Message)
				}
				nbd := peer.StartNBD(t, peer.NBDOptions{Place: p.place, Dir: dirs["destination"], VerifyPeer: !w.verifyOff})
				if nbd.Ready != (c.Outcome != finding.DaemonDown) {
					t.Fatalf("predicted %s, and qemu-nbd is ready: %v\n%s", c.Outcome, nbd.Ready, nbd.Log())
				}
				if !nbd.Ready {
					if !strings.Contains(nbd.Log(), c.DaemonMessage) || c.DaemonMessage == "" {
						t.Errorf("predicted %q, qemu-nbd says %q", c.DaemonMessage, nbd.Log())
					}
					return
				}
				host := w.host
				if host == "" {
					host = "localhost"
				}
				r := p.place.QemuImg(t, host, nbd.Port, dirs["source"])
				if (r.Exit == 0) != (c.Outcome == finding.Connected) {
					t.Errorf("predicted %s, qemu-img: %v\n%s", c.Outcome, r, nbd.Log())
				}
				if c.LibvirtMessage != "" && !strings.HasSuffix(strings.TrimSpace(r.Stderr), ": "+c.LibvirtMessage) {
					t.Errorf("predicted %q, qemu-img says %q", c.LibvirtMessage, r.Stderr)
				}
				if c.Outcome == finding.ClientRejectsServer && c.LibvirtMessage == "" || c.Outcome == finding.ServerRejectsClient && c.DaemonMessage == "" {
					t.Errorf("no message: %+v", c)
				}
				if c.DaemonMessage != "" && !nbd.WaitLog("negotiation failed: "+c.DaemonMessage, 5*time.Second) {
					t.Errorf("predicted %q, qemu-nbd says %q", c.DaemonMessage, nbd.Log())
				}
				nbd.Stop()
			})
		}
	}
}
