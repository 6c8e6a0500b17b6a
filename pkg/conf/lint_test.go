package conf

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
)

// sample lints a rule's sample as its first line says.
func sample(t *testing.T, text string) []finding.Finding {
	t.Helper()
	o := LintOptions{Kind: Libvirtd}
	if first, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(first, "#: ") {
		text = rest
		for _, w := range strings.Fields(first[3:]) {
			switch k, isKind := ParseKind(w); {
			case isKind:
				o.Kind = k
			case w == "listen":
				o.Run.Listen = true
			case w == "activated":
				o.Run.SocketActivated = true
			case strings.HasPrefix(w, "release="):
				if _, err := fmt.Sscanf(w, "release=%d.%d", &o.Run.Libvirt.Major, &o.Run.Libvirt.Minor); err != nil {
					t.Fatal(err)
				}
			default:
				t.Fatalf("%q", w)
			}
		}
	}
	_, fs := Check([]byte(text), "F", o)
	return fs
}

func ids(fs []finding.Finding) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Rule)
	}
	return out
}

func TestEveryRuleFindsItsBadSampleAndNotItsGoodOne(t *testing.T) {
	for _, r := range Rules() {
		if r.Good == "" || r.Bad == "" || r.Text == "" || r.Remedy == "" || r.Source == "" || r.Title == "" {
			t.Errorf("%s lacks something", r.ID)
		}
		if got := ids(sample(t, r.Bad)); !slices.Contains(got, r.ID) {
			t.Errorf("%s: bad sample gives %v", r.ID, got)
		}
		if got := ids(sample(t, r.Good)); slices.Contains(got, r.ID) {
			t.Errorf("%s: good sample gives %v", r.ID, got)
		}
		for _, f := range append(sample(t, r.Bad), sample(t, r.Good)...) {
			if f.Severity == finding.Error && f.Rule != r.ID && r.Severity != finding.Error {
				t.Errorf("%s: a sample has the error %s: %s", r.ID, f.Rule, f.Message)
			}
		}
	}
	if _, err := finding.NewCatalogue(Rules()); err != nil {
		t.Error(err)
	}
}

func TestLintSaysWhatAndWhere(t *testing.T) {
	for _, c := range []struct {
		name, src string
		o         LintOptions
		want      []string
	}{
		{"a clean file", "listen_addr = \"::\"\n", LintOptions{}, nil},
		{"a misspelt protection", "tls_allowed_dnlist = [\"CN=x\"]\n", LintOptions{},
			[]string{"error F:1 conf-misspelt-key: tls_allowed_dnlist is no setting of libvirt and is ignored; tls_allowed_dn_list is probably meant"}},
		{"a cut-off name", "\ntls_no_verify_cert = 0\n", LintOptions{},
			[]string{"error F:2 conf-misspelt-key: tls_no_verify_cert is no setting of libvirt and is ignored; tls_no_verify_certificate is probably meant"}},
		{"an older plural", "tls_no_verify_certificates = 1\n", LintOptions{},
			[]string{"error F:1 conf-misspelt-key: tls_no_verify_certificates is no setting of libvirt and is ignored; tls_no_verify_certificate is probably meant"}},
		{"letters in another case", "Max_Clients = 50\n", LintOptions{},
			[]string{"warning F:1 conf-misspelt-key: Max_Clients is no setting of libvirt and is ignored; max_clients is probably meant"}},
		{"something else", "foo_bar = [1]\n", LintOptions{}, []string{
			"warning F:1 conf-unknown-key: foo_bar is no setting of libvirt and is ignored",
			"note F:1 conf-augeas: Augeas cannot read the file: an element of foo_bar that is no string"}},
		{"a second line that does not count", "tls_port = \"1\"\nauth_tls = \"sasl\"\ntls_port = \"2\"\n", LintOptions{},
			[]string{"warning F:3 conf-duplicate-key: tls_port stands in line 1 already; this line is ignored"}},
		{"a type", "max_clients = \"5\"\n", LintOptions{},
			[]string{"error F:1 conf-value: max_clients is refused: it takes unsigned integer: max_anonymous_clients and more"}},
		{"a client's file with a malformed alias", "uri_aliases = [ \"a=test:///default\", \"b.c=x\" ]\n", LintOptions{Kind: Client},
			[]string{"error F:1 conf-value: uri_aliases is refused: it takes list of strings: NAME=URI; it stops every connection but those that name an alias further up"}},
		{"a daemon's key in the client's file", "listen_tls = 1\n", LintOptions{Kind: Client},
			[]string{"warning F:1 conf-setting-elsewhere: listen_tls has no effect here: it belongs to the file of the libvirtd"}},
		{"patterns", `auth_tls = "sasl"
tls_allowed_dn_list = [
  "C=GB,O=Acme,CN=admin",
  "CN=admin,O=Acme,C=GB",
  "/C=GB/CN=admin",
  "C=GB,O=Acme,emailAddress=a@b",
  "C=GB,O=Acme\, Inc,CN=admin",
  "C=GB,O=*, Inc,CN=adm?n",
  "C=GB, CN=x",
  "*"
]
`, LintOptions{}, []string{
			`warning F:4 conf-dn-pattern-reversed: the pattern "CN=admin,O=Acme,C=GB" has its parts from the small to the great, as certtool prints them; certificates mostly have them the other way round`,
			`warning F:5 conf-dn-pattern-never: the pattern "/C=GB/CN=admin" matches no certificate: it has openssl's old form with slashes; parts are joined by commas`,
			`warning F:6 conf-dn-pattern-never: the pattern "C=GB,O=Acme,emailAddress=a@b" matches no certificate: GnuTLS writes EMAIL=, not emailAddress=`,
			`warning F:8 conf-dn-pattern-abort: the pattern "C=GB,O=*, Inc,CN=adm?n" makes GLib turn names round: a certificate of a trusted CA whose name is not UTF-8 aborts the daemon`,
			`warning F:9 conf-dn-pattern-never: the pattern "C=GB, CN=x" matches no certificate: GnuTLS writes no blanks around commas and equals signs`,
			`warning F:10 conf-dn-pattern-broad: the pattern "*" lets every certificate of the CA in`,
		}},
	} {
		o := c.o
		if o.Kind == 0 {
			o.Kind = Libvirtd
		}
		o.Run.Listen = o.Run.Listen || c.name == "patterns"
		_, fs := Check([]byte(c.src), "F", o)
		var got []string
		for _, f := range fs {
			got = append(got, fmt.Sprintf("%s %s %s: %s", f.Severity, f.Subject, f.Rule, f.Message))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}

func TestDebiansOwnFilesHaveNoErrors(t *testing.T) {
	peer.Need(t, "libvirtd")
	files, err := filepath.Glob("/etc/libvirt/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, r := range []Release{Release9_0, Release12_8} {
			f, fs := Check(b, file, LintOptions{Run: Run{Libvirt: r}})
			if finding.Worst(fs) >= finding.Warning {
				t.Errorf("%s: %+v", file, fs)
			}
			if f == nil || string(f.Marshal()) != string(b) {
				t.Errorf("%s: Marshal differs", file)
			}
		}
	}
}

func TestTCPWithoutAuthenticationIsOpenOnAPassedSocketToo(t *testing.T) {
	const text = "auth_tcp = \"none\"\nlisten_tcp = 1\n"
	for _, c := range []struct {
		run  Run
		want string
	}{
		{Run{SocketActivated: true, TCPSocket: true}, "auth_tcp is none, and systemd passes a -tcp.socket: whoever reaches its port has this host"},
		{Run{SocketActivated: true}, ""},
		{Run{Listen: true}, "listen_tcp is 1 and auth_tcp none: whoever reaches port 16509 has this host"},
	} {
		_, found := Check([]byte(text), "libvirtd.conf", LintOptions{Kind: Libvirtd, Run: c.run})
		got := ""
		for _, f := range found {
			if f.Rule == "conf-tcp-open" {
				got = f.Message
			}
		}
		if got != c.want {
			t.Errorf("%+v: %q", c.run, got)
		}
	}
	d := Daemon{Kind: Libvirtd, Run: Run{SocketActivated: true, TCPSocket: true}}
	if !d.ListensTCP() || d.ListensTLS() {
		t.Error("a passed -tcp.socket is not listened on")
	}
}

func TestOfManyFindingsOfOneRuleTheFirstThousandAreTold(t *testing.T) {
	_, found := Check([]byte(strings.Repeat("tls_port = '1'\n", 3001)), "F", LintOptions{Kind: Libvirtd, Run: Run{Listen: true}})
	n, last := 0, ""
	for _, f := range found {
		if f.Rule == "conf-duplicate-key" {
			n, last = n+1, f.Message
		}
	}
	if want := "2000 more like these; the first 1000 are told"; n != 1001 || last != want {
		t.Errorf("%d findings, the last: %q", n, last)
	}
}
