package cluster

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/crash"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// The command line's tests against real programs are here because package peer is not visible to cmd/virt-pki.

// build makes the program as it is shipped, once for all tests.
var build = sync.OnceValues(func() (string, error) {
	return crash.Build("virt-pki", "build", "-o", "virt-pki", "github.com/virt-pki/virt-pki/cmd/virt-pki")
})

// binary gives the path of the built program.
func binary(t *testing.T) string {
	t.Helper()
	peer.Need(t, "go")
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// virtPKI runs the built program to its end.
func virtPKI(t *testing.T, args ...string) peer.Result {
	t.Helper()
	return peer.Run(t, append([]string{binary(t)}, args...)...)
}

// must runs it and wants exit status 0 and nothing on standard error.
func must(t *testing.T, args ...string) string {
	t.Helper()
	r := virtPKI(t, args...)
	if r.Exit != 0 || r.Stderr != "" {
		t.Fatalf("virt-pki %q: %v", args, r)
	}
	return r.Stdout
}

// A live is what verify --json says.
type live struct {
	Schema         int               `json:"schema"`
	URI            string            `json:"uri"`
	Outcome        string            `json:"outcome"`
	Cause          *string           `json:"cause"`
	LibvirtMessage *string           `json:"libvirt_message"`
	Server         map[string]any    `json:"server"`
	Findings       []json.RawMessage `json:"findings"`
}

// verified runs verify --json and checks what holds for every answer.
func verified(t *testing.T, uri string) (live, int) {
	t.Helper()
	r := virtPKI(t, "verify", "--json", uri)
	var fields map[string]json.RawMessage
	var v live
	if err := json.Unmarshal([]byte(r.Stdout), &fields); err != nil {
		t.Fatalf("verify --json %s: %v: %v", uri, err, r)
	}
	for _, f := range []string{"schema", "uri", "outcome", "cause", "libvirt_message", "server", "findings"} {
		if _, ok := fields[f]; !ok {
			t.Errorf("verify --json %s: no field %q", uri, f)
		}
	}
	if err := json.Unmarshal([]byte(r.Stdout), &v); err != nil {
		t.Fatal(err)
	}
	if v.Schema != 1 || v.URI != uri || v.Findings == nil || v.Server == nil || r.Stderr != "" {
		t.Errorf("verify --json: %v", r)
	}
	return v, r.Exit
}

// virshError is what virsh says about a URI that it cannot open.
func virshError(t *testing.T, uri string) string {
	t.Helper()
	r := peer.Virsh(t, uri)
	_, text, _ := strings.Cut(r.Stderr, "error: failed to connect to the hypervisor\nerror: ")
	text, _, _ = strings.Cut(text, "\n")
	if r.Exit == 0 || text == "" {
		t.Fatalf("virsh -c %s: %v", uri, r)
	}
	return text
}

func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func TestTheMainJobAgainstARealDaemon(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "virt-pki-query-dn")
	top := peer.Dir(t)
	pki, bob := top+"/pki", top+"/bob"
	must(t, "init", "--pkipath", pki, "--server", "localhost,127.0.0.1,::1", "--client", "admin", "--base", "C=GB,O=Acme")
	must(t, "issue", "client", "bob", "--pkipath", bob, "--authority", pki+"/authority")
	must(t, "check", pki)

	// The name is what virt-pki-query-dn prints.
	name := must(t, "query-dn", pki+"/clientcert.pem")
	if r := peer.QueryDN(t, pki+"/clientcert.pem"); r.Exit != 0 || r.Stdout != name || name != "C=GB,O=Acme,CN=admin\n" {
		t.Errorf("query-dn: %q; virt-pki-query-dn: %v", name, r)
	}

	d := peer.Start(t, peer.Options{Dir: pki}).MustBeReady(t)
	for _, host := range []string{"localhost", "127.0.0.1"} {
		uri := d.URIFor(host, "pkipath="+pki)
		if r := peer.Virsh(t, uri); r.Exit != 0 {
			t.Fatalf("virsh -c %s: %v", uri, r)
		}
		if out := must(t, "verify", uri); !strings.HasPrefix(out, uri+": connected\n") || !strings.Contains(out, "C=GB,O=Acme,CN=localhost") {
			t.Errorf("verify %s:\n%s", uri, out)
		}
		v, exit := verified(t, uri)
		if exit != 0 || v.Outcome != "connected" || v.Cause != nil || v.LibvirtMessage != nil || len(v.Findings) != 0 {
			t.Errorf("verify --json %s: exit status %d, %+v", uri, exit, v)
		}
	}
	if m := d.Messages(); len(m) > 0 {
		t.Errorf("libvirtd says %q", m)
	}

	// Everything stands, but this daemon has no driver for that.
	uri := strings.Replace(strings.Replace(d.URIFor("localhost", "pkipath="+pki), "test+tls", "qemu+tls", 1), "/default", "/system", 1)
	want := virshError(t, uri)
	if v, exit := verified(t, uri); exit != 1 || v.Outcome != "open-fails" || v.Cause == nil || textOf(v.LibvirtMessage) != want {
		t.Errorf("verify %s: exit status %d, %s because of %s, %q; virsh: %q", uri, exit, v.Outcome, textOf(v.Cause), textOf(v.LibvirtMessage), want)
	}
	d.Stop()

	// With the printed name on the list admin is let in, and bob is kept out.
	d = peer.Start(t, peer.Options{Dir: pki, Conf: []string{`tls_allowed_dn_list = ["` + strings.TrimSpace(name) + `"]`}}).MustBeReady(t)
	if v, exit := verified(t, d.URIFor("localhost", "pkipath="+pki)); exit != 0 || v.Outcome != "connected" {
		t.Errorf("admin: exit status %d, %s", exit, v.Outcome)
	}
	uri = d.URIFor("localhost", "pkipath="+bob)
	want = virshError(t, uri)
	v, exit := verified(t, uri)
	if exit != 1 || v.Outcome != "server-rejects-client" || textOf(v.Cause) != "server-refused" || textOf(v.LibvirtMessage) != want {
		t.Errorf("bob: exit status %d, %s because of %s, %q; virsh: %q", exit, v.Outcome, textOf(v.Cause), textOf(v.LibvirtMessage), want)
	}
	// The daemon saw the same twice: virsh, and verify.
	const refused = "Client's Distinguished Name is not on the list of allowed clients"
	if m := d.Messages(); len(m) == 0 || len(m)%2 != 0 || !strings.HasPrefix(m[0], refused) || !slices.Equal(m[:len(m)/2], m[len(m)/2:]) {
		t.Errorf("libvirtd says %q", m)
	}
	if r := virtPKI(t, "explain", textOf(v.Cause)); r.Exit != 0 || r.Stdout == "" {
		t.Errorf("explain %s: %v", textOf(v.Cause), r)
	}
	if r := virtPKI(t, "verify", uri); r.Exit != 1 || !strings.HasPrefix(r.Stdout, uri+": server-rejects-client\n") || !strings.Contains(r.Stdout, want) {
		t.Errorf("verify %s: %v", uri, r)
	}
	d.Stop()

	// Nobody listens.
	want = virshError(t, uri)
	if v, exit := verified(t, uri); exit != 1 || v.Outcome != "network" || textOf(v.LibvirtMessage) != want {
		t.Errorf("nobody listens: exit status %d, %s because of %s, %q; virsh: %q", exit, v.Outcome, textOf(v.Cause), textOf(v.LibvirtMessage), want)
	}
}

func TestARequestIsCertifiedForARealClient(t *testing.T) {
	peer.Need(t, "libvirtd", "virsh", "certtool")
	top := peer.Dir(t)
	pki, own := top+"/pki", top+"/own"
	must(t, "init", "--pkipath", pki, "--server", "localhost,127.0.0.1", "--client", "admin")
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	template := top + "/csr.cfg"
	if err := os.WriteFile(template, []byte("cn = carol\norganization = Acme\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The key lies where it is to stay; the certificate comes beside it.
	peer.Certtool(t, "--generate-privkey", "--key-type", "ecdsa", "--curve", "secp256r1", "--outfile", own+"/clientkey.pem")
	peer.Certtool(t, "--generate-request", "--load-privkey", own+"/clientkey.pem", "--template", template, "--outfile", top+"/carol.csr")
	must(t, "issue", "client", "carol", "--csr", top+"/carol.csr", "--pkipath", own, "--authority", pki+"/authority")
	d := peer.Start(t, peer.Options{Dir: pki}).MustBeReady(t)
	uri := d.URI("pkipath=" + own)
	if r := peer.Virsh(t, uri); r.Exit != 0 {
		t.Errorf("%v\n%s", r, d.Log())
	}
	if v, exit := verified(t, uri); exit != 0 || v.Outcome != "connected" {
		t.Errorf("exit status %d, %+v", exit, v)
	}
}
