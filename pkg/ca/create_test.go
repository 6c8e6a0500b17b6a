package ca

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/testpki"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// When the environment says so, the test program is the process that TestAKilledCreationLeavesNothing kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv("CA_TEST_DIR"); dir != "" {
		if err := createAndDie(dir, os.Getenv("CA_TEST_STEP")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if dir := os.Getenv("CA_TEST_ISSUE"); dir != "" {
		if err := issueAsProcess(dir, os.Getenv("CA_TEST_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	peer.Main(m)
}

func spec(t testing.TB) Spec {
	return Spec{Subject: name(t, "O=Example,CN=Example CA"), Now: time.Now()}
}

func create(t testing.TB, dir string, s Spec) *Authority {
	t.Helper()
	a, err := Create(context.Background(), dir, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

func TestACreatedAuthorityIsComplete(t *testing.T) {
	ctx := context.Background()
	old := syscall.Umask(0) // modes must not depend on it
	defer syscall.Umask(old)
	parent := t.TempDir()
	dir := filepath.Join(parent, "a", "authority")
	s := spec(t)
	s.Passphrase = []byte("correct horse")
	s.Policy = Policy{Libvirt: Since(verify.V11_3), Key: certs.Ed25519, Lifetime: 100 * 24 * time.Hour}
	created := create(t, dir, s)
	if !created.Unlocked() {
		t.Error("the authority is locked")
	}
	want := map[string]fs.FileMode{".": fs.ModeDir | 0o700, "private": fs.ModeDir | 0o700, "private/cakey.pem": 0o600,
		"cacert.pem": 0o644, "authority.json": 0o644, "inventory.db": 0o600}
	got := map[string]fs.FileMode{}
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, _ error) error {
		info, err := d.Info()
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, path)
		got[rel] = info.Mode()
		return nil
	})
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("beside the authority: %v", left)
	}

	c := created.cert
	if string(c.RawSubject) != string(s.Subject.DER()) || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign ||
		!c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero || len(c.ExtKeyUsage) != 0 ||
		!bytes.Equal(c.SubjectKeyId, c.AuthorityKeyId) || len(c.SubjectKeyId) != 20 || c.SerialNumber.BitLen() != 127 {
		t.Errorf("CA certificate: %+v", c)
	}
	if years := c.NotAfter.Year() - c.NotBefore.Year(); years != 10 {
		t.Errorf("the CA is good for %d years", years)
	}
	for _, e := range c.Extensions {
		if oid := e.Id.String(); (oid == "2.5.29.15" || oid == "2.5.29.19") != e.Critical {
			t.Errorf("extension %s critical: %v", oid, e.Critical)
		}
	}

	a, err := Open(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if d := cmp.Diff(s.Policy, a.Policy()); d != "" {
		t.Errorf("policy (-want +got):\n%s", d)
	}
	if a.Unlocked() {
		t.Error("opened unlocked")
	}
	if err := a.Unlock(nil); !errors.Is(err, certs.ErrPassphraseNeeded) {
		t.Errorf("without passphrase: %v", err)
	}
	if err := a.Unlock([]byte("wrong")); !errors.Is(err, certs.ErrPassphrase) {
		t.Errorf("with a wrong passphrase: %v", err)
	}
	if err := a.Unlock(s.Passphrase); err != nil {
		t.Fatal(err)
	}
	i, leaf := issue(t, a, order(t, certs.Server, "CN=kvm1"))
	if alg, _ := certs.AlgorithmOf(leaf.PublicKey); alg != certs.Ed25519 {
		t.Errorf("key %s", alg)
	}
	if e, err := created.Inventory().Get(ctx, i.Entry.Key); err != nil || e.Host != "kvm1" || e.State != inventory.Issued {
		t.Errorf("inventory: %+v, %v", e, err)
	}
}

func TestCreationRefusesWithoutATrace(t *testing.T) {
	ctx := context.Background()
	parent := t.TempDir()
	full := filepath.Join(parent, "full")
	os.MkdirAll(filepath.Join(full, "x"), 0o755)
	file := filepath.Join(parent, "file")
	os.WriteFile(file, []byte("x"), 0o644)
	before, _ := os.ReadDir(parent)
	for _, tt := range []struct {
		name, dir string
		change    func(*Spec)
		want      string
	}{
		{"not empty", full, nil, fmt.Sprintf("creating the authority: %q: the directory is not empty", full)},
		{"a file", file, nil, fmt.Sprintf("creating the authority: %q: no directory can be made here: not a directory", file)},
		{"below a file", file + "/x", nil, fmt.Sprintf("creating the authority: %q: no directory can be made here: not a directory", file+"/x")},
		{"no subject", parent + "/a", func(s *Spec) { s.Subject = dn.Name{} }, "the subject is empty"},
		{"an end in the past", parent + "/a", func(s *Spec) { s.NotAfter = date(2000) }, "the CA would have ended on 2000-01-01 00:00:00 UTC"},
		{"an unknown key", parent + "/a", func(s *Spec) { s.Key = "dsa" }, ""},
	} {
		s := spec(t)
		if tt.change != nil {
			tt.change(&s)
		}
		a, err := Create(ctx, tt.dir, s)
		if err == nil || tt.want != "" && err.Error() != tt.want {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
		if a != nil {
			t.Errorf("%s: made", tt.name)
		}
	}
	after, _ := os.ReadDir(parent)
	if len(after) != len(before) {
		t.Errorf("left behind: %v", after)
	}
	if _, err := Create(ctx, full, spec(t)); !errors.Is(err, ErrExists) {
		t.Errorf("not empty: %v", err)
	}
	// An empty directory is taken.
	empty := filepath.Join(parent, "empty")
	os.Mkdir(empty, 0o755)
	create(t, empty, spec(t))
}

// createAndDie makes an authority and kills itself at a step.
func createAndDie(dir, step string) error {
	at, err := strconv.Atoi(step)
	if err != nil {
		return err
	}
	subject, err := dn.Parse("CN=Example CA")
	if err != nil {
		return err
	}
	n := 0
	a, err := Create(context.Background(), dir, Spec{Subject: subject, Now: time.Now(), Step: func(string) {
		if n++; n == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	if err != nil {
		return err
	}
	return a.Close()
}

func TestAKilledCreationLeavesNothing(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	dir := filepath.Join(t.TempDir(), "authority")
	killed := 0
	for step := 1; ; step++ {
		os.RemoveAll(dir)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "CA_TEST_DIR="+dir, fmt.Sprintf("CA_TEST_STEP=%d", step))
		out, err := cmd.CombinedOutput()
		if err == nil {
			break // there are no more steps
		}
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v\n%s", step, err, out)
		}
		killed++
		// Nobody else can read a key that was left.
		filepath.WalkDir(filepath.Dir(dir), func(path string, d fs.DirEntry, err error) error {
			if info, err := d.Info(); err == nil && filepath.Base(path) == "cakey.pem" && info.Mode().Perm() != 0o600 {
				t.Errorf("step %d: %s has mode %v", step, path, info.Mode())
			}
			return nil
		})
		if _, err := os.Stat(dir); err == nil {
			// It was published: then it is complete.
			a, err := Open(ctx, dir)
			if err != nil {
				t.Errorf("step %d: %v", step, err)
				continue
			}
			if err := a.Unlock(nil); err != nil {
				t.Errorf("step %d: %v", step, err)
			}
			a.Close()
			continue
		}
		// A second run completes, and nothing of the first is left.
		a, err := Create(ctx, dir, spec(t))
		if err != nil {
			t.Errorf("step %d: %v", step, err)
			continue
		}
		a.Close()
		if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
			t.Errorf("step %d: left behind: %v", step, left)
		}
	}
	if killed < 12 {
		t.Errorf("only %d steps", killed)
	}
}

func TestFileSystemsThatTakeNothing(t *testing.T) {
	peer.NeedNamespaces(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, options, want string }{
		{"read-only", "ro", `creating the authority: "%[1]s/authority": no directory can be made here: read-only file system`},
		// A page for the key, none for the certificate.
		{"full", "size=4k", `creating the authority in "%[1]s/authority": "%[1]s/authority/cacert.pem": cannot be written: no space left on device`},
		{"full later", "size=16k", `creating the authority in "%[1]s/authority": "%[1]s/authority/inventory.db": cannot be written: no space left on device`},
	} {
		mount := t.TempDir()
		cmd := exec.Command("unshare", "-m", "--propagation", "private", "sh", "-c",
			`mount -t tmpfs -o `+tt.options+` none "$0" && { "$1"; status=$?; ls -A "$0" >&2; exit $status; }`, mount, self)
		cmd.Env = append(os.Environ(), "CA_TEST_DIR="+mount+"/authority", "CA_TEST_STEP=0")
		out, err := cmd.CombinedOutput()
		got, want := string(out), fmt.Sprintf(tt.want, mount)
		// After the message nothing: ls found nothing left.
		if err == nil || !strings.HasPrefix(got, want) || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: %v\n got  %s want %s", tt.name, err, got, want)
		}
	}
}

func TestARehearsedAuthorityPreparesAndCannotIssue(t *testing.T) {
	s := spec(t)
	if err := s.Constraints.ParseConstraint("example.com", false); err != nil {
		t.Fatal(err)
	}
	a, err := s.Rehearse()
	if err != nil {
		t.Fatal(err)
	}
	p, err := a.Prepare(s.Now, order(t, certs.Server, "CN=kvm1.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(context.Background(), p); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v", err)
	}
	var outside *ConstraintError
	if _, err := a.Prepare(s.Now, order(t, certs.Server, "CN=kvm1.example.org")); !errors.As(err, &outside) {
		t.Errorf("got %v", err)
	}
}

func TestPoliciesComeBack(t *testing.T) {
	upstream, err := verify.ParseVersion("11.3.0-upstream")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []Policy{
		Policy{}.withDefaults(),
		{Libvirt: Since(upstream), Key: certs.RSA4096, Lifetime: time.Hour, StrictKeyUsage: true},
		{Libvirt: Since(verify.V11_3), Key: certs.Ed25519, Lifetime: 36 * time.Hour},
	} {
		text, err := want.marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := unmarshalPolicy(text)
		if d := cmp.Diff(want, got); d != "" || err != nil {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
	}
	for text, want := range map[string]string{
		`{"schema":1,"libvirt":["9.0.0"],"key":"dsa","lifetime":"1h"}`:         `no key algorithm "dsa"`,
		`{"schema":1,"libvirt":["9.0.0"],"key":"rsa2048","lifetime":"1 year"}`: `lifetime "1 year" is no duration above zero, such as 8760h`,
		`{"schema":1,"libvirt":["9.0.0"],"key":"rsa2048","lifetime":"-1h"}`:    `lifetime "-1h" is no duration above zero, such as 8760h`,
		`{"schema":1,"libvirt":[],"key":"rsa2048","lifetime":"1h"}`:            `no libvirt version`,
		`{"schema":1,"libvirt":["8.0"],"key":"rsa2048","lifetime":"1h"}`:       `libvirt version "8.0": older than 9.0.0, which was not measured`,
		`{"schema":0}`: `schema 0 is unknown`,
		`{"schema":1,"libvirt":["9.0.0"],"key":"rsa2048","lifetime":"1h"} trailing`: `invalid character 't' after top-level value`,
	} {
		if _, err := unmarshalPolicy([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s:\n got  %v\n want %s", text, err, want)
		}
	}
}

// issueAsProcess is one of the processes of TestSeveralProcessesIssueAtOnce. It prints the serial numbers.
func issueAsProcess(dir, host string) error {
	ctx := context.Background()
	a, err := Open(ctx, dir)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Unlock(nil); err != nil {
		return err
	}
	subject, err := dn.Parse("CN=" + host)
	if err != nil {
		return err
	}
	for range issuedByEach {
		p, err := a.Prepare(time.Now(), Order{Host: host, Request: certs.Request{Role: certs.Server, Subject: subject}})
		if err != nil {
			return err
		}
		i, err := a.Issue(ctx, p)
		if err != nil {
			return err
		}
		if err := a.Inventory().MarkPublished(ctx, i.Entry.Key); err != nil {
			return err
		}
		fmt.Println(i.Entry.Serial)
	}
	return nil
}

const issuers, issuedByEach = 8, 10

func TestSeveralProcessesIssueAtOnce(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "authority")
	a := create(t, dir, spec(t))
	outputs := make([]bytes.Buffer, issuers)
	var running []*exec.Cmd
	for i := range issuers {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "CA_TEST_ISSUE="+dir, fmt.Sprintf("CA_TEST_NAME=kvm%d", i))
		cmd.Stdout, cmd.Stderr = &outputs[i], os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		running = append(running, cmd)
	}
	serials := map[string]bool{}
	for i, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		for _, s := range strings.Fields(outputs[i].String()) {
			serials[s] = true
		}
	}
	es, err := a.Inventory().List(context.Background(), inventory.Filter{States: []inventory.State{inventory.Published}})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		if !serials[e.Serial] {
			t.Errorf("serial number %s was recorded and not issued", e.Serial)
		}
	}
	if want := issuers * issuedByEach; len(serials) != want || len(es) != want {
		t.Errorf("%d serial numbers issued, %d recorded, want %d", len(serials), len(es), want)
	}
}

func TestTwoCreationsAtOnceDoNotMix(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "authority")
	s := spec(t)
	tried := false
	s.Step = func(what string) {
		if strings.HasPrefix(what, "rename ") && strings.HasSuffix(what, "/authority") && !tried {
			tried = true
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			_, err := Create(ctx, dir, spec(t))
			if want := fmt.Sprintf("creating the authority: %q: another process is making an authority here", dir); err == nil || err.Error() != want {
				t.Errorf("got %v", err)
			}
		}
	}
	create(t, dir, s)
	if !tried {
		t.Error("the step was not reached")
	}
}

func TestOpenSaysWhatIsWrongWithADirectory(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name  string
		spoil func(dir string) error
		want  string // %s is the directory
	}{
		{"nothing there", os.RemoveAll, `opening the authority: "%s": there is no authority here: cacert.pem is missing`},
		{"empty certificate", replace("cacert.pem", ""), `opening the authority: "%s/cacert.pem": is empty`},
		{"DER certificate", replace("cacert.pem", "\x30\x03\x02\x01\x01"), `opening the authority: "%s/cacert.pem": is in DER where PEM is due`},
		{"no certificate", replace("cacert.pem", "hello"), `opening the authority: "%s/cacert.pem": holds no certificate in PEM`},
		{"huge certificate", replace("cacert.pem", strings.Repeat("x", maxFile+1)),
			`opening the authority: "%s/cacert.pem": is too large: more than 1048576 bytes`},
		{"a directory", func(dir string) error {
			os.Remove(dir + "/cacert.pem")
			return os.Mkdir(dir+"/cacert.pem", 0o755)
		}, `opening the authority: "%s/cacert.pem": is no regular file`},
		{"a misspelt setting", replace("authority.json", `{"schema":1,"libvrit":["9.0.0"]}`),
			`opening the authority: "%s/authority.json": json: unknown field "libvrit"`},
		{"a newer schema", replace("authority.json", `{"schema":2,"new":true}`),
			`opening the authority: "%s/authority.json": schema 2 is newer than this program, which knows schemas up to 1`},
		{"no inventory", func(dir string) error { return os.Remove(dir + "/inventory.db") },
			`opening the authority: "%s/inventory.db": the inventory is not there`},
	} {
		dir := filepath.Join(t.TempDir(), "authority")
		create(t, dir, spec(t)).Close()
		if err := tt.spoil(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(ctx, dir); err == nil || err.Error() != fmt.Sprintf(tt.want, dir) {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
	}

	dir := filepath.Join(t.TempDir(), "authority")
	a := create(t, dir, spec(t))
	if err := replace("private/cakey.pem", string(testpki.NewCA(t).KeyPEM()))(dir); err != nil {
		t.Fatal(err)
	}
	if err := a.Unlock(nil); !errors.Is(err, ErrKeyMismatch) {
		t.Errorf("another key: %v", err)
	}
	if err := os.Remove(dir + "/private/cakey.pem"); err != nil {
		t.Fatal(err)
	}
	if err := a.Unlock(nil); err == nil || err.Error() != fmt.Sprintf(`reading the CA key: "%s/private/cakey.pem": it is not there`, dir) {
		t.Errorf("no key: %v", err)
	}
}

func replace(file, content string) func(dir string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600) }
}

func TestAdoptRefusesWhatWouldNotServe(t *testing.T) {
	good, other := testpki.NewCA(t), testpki.NewCA(t)
	expired, early := testpki.NewCA(t, testpki.Expired()), testpki.NewCA(t, testpki.NotYetValid())
	leaf := testpki.SelfSigned(t, "h")
	mail := testpki.NewCA(t, testpki.Change(func(c *x509.Certificate) {
		c.PermittedDNSDomainsCritical = true
		c.ExtraExtensions = append(c.ExtraExtensions, directoryConstraint())
	}))
	day := func(at time.Time) string { return at.UTC().Format("2006-01-02 15:04:05 UTC") }
	now := time.Now()
	for _, tt := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"a key of another CA", good.CertPEM(), other.KeyPEM(), `"ca.pem" and "ca.key": the private key does not belong to the CA certificate`},
		{"an expired CA", expired.CertPEM(), expired.KeyPEM(), fmt.Sprintf(`"ca.pem": the CA certificate has ended on %s`, day(expired.X509().NotAfter))},
		{"a CA to come", early.CertPEM(), early.KeyPEM(), fmt.Sprintf(`"ca.pem": the CA certificate begins on %s, and it is %s`,
			day(early.X509().NotBefore), day(now))},
		{"no CA", leaf.CertPEM(), leaf.KeyPEM(), `"ca.pem": the certificate "CN=h" is no CA: its basicConstraints say CA:FALSE`},
		{"a DER certificate", good.DER, good.KeyPEM(), `"ca.pem": is in DER where PEM is due`},
		{"certificate and key exchanged", good.KeyPEM(), good.CertPEM(), `"ca.pem": holds no certificate in PEM`},
		{"constraints of an unknown kind", mail.CertPEM(), mail.KeyPEM(),
			`"ca.pem": the CA certificate "CN=Test CA" has a critical extension (2.5.29.30) that virt-pki cannot honour`},
	} {
		dir := filepath.Join(t.TempDir(), "authority")
		_, err := Adopt(context.Background(), dir, Adoption{Cert: tt.cert, Key: tt.key, CertPath: "ca.pem", KeyPath: "ca.key", Now: now})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s:\n got  %v\n want %s", tt.name, err, tt.want)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("%s: made", tt.name)
		}
	}
}

func TestAnAdoptedIntermediateKeepsItsChain(t *testing.T) {
	root := testpki.NewCA(t)
	sub := root.Intermediate("Sub CA", testpki.PathLen(0))
	dir := filepath.Join(t.TempDir(), "authority")
	// The root stands first in the file.
	a, err := Adopt(context.Background(), dir, Adoption{Cert: append(root.CertPEM(), sub.CertPEM()...), Key: sub.KeyPEM(), Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if want := append(sub.CertPEM(), root.CertPEM()...); !bytes.Equal(a.BundlePEM(), want) {
		t.Errorf("bundle:\n%s", a.BundlePEM())
	}
	_, c := issue(t, a, order(t, certs.Server, "CN=kvm1"))
	if err := c.CheckSignatureFrom(sub.X509()); err != nil {
		t.Error(err)
	}
}

func TestConstraintsOfACAComeBack(t *testing.T) {
	var want Constraints
	for _, text := range []string{"example.com", ".lab.example.org", "192.0.2.0/24", "2001:db8::/32", "198.51.100.7"} {
		if err := want.ParseConstraint(text, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"bücher.example.com", "192.0.2.128/25"} {
		if err := want.ParseConstraint(text, true); err != nil {
			t.Fatal(err)
		}
	}
	s := spec(t)
	s.Constraints = want
	a := create(t, filepath.Join(t.TempDir(), "authority"), s)
	if d := cmp.Diff(want, a.Constraints(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !a.cert.PermittedDNSDomainsCritical {
		t.Error("the constraints are not critical")
	}
	for _, text := range []string{"*.example.com", "192.0.2.1/24", "a b", "1.2.3/8"} {
		if err := new(Constraints).ParseConstraint(text, false); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}
