package peer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// SSHOptions say how to start an sshd.
type SSHOptions struct {
	// Place is where it runs.
	Place
	// Lines of sshd_config go before those set here; sshd takes the first of two.
	Lines []string
	// HostKeys are the types of its host keys; empty: ed25519.
	HostKeys []string
	// Port is the port; 0: a free one. Addr is the address; empty: 127.0.0.1.
	Port int
	Addr string
}

// SSHD is a private sshd. It takes the keys in Dir/authorized, no password unless Lines allow it, and lets root in.
type SSHD struct {
	*Process
	Port int
	// Dir holds its files, and the keys that Key makes.
	Dir string
	// HostKeys are the public host keys, "TYPE BASE64".
	HostKeys []string
}

// StartSSHD starts an sshd and waits until it listens.
func StartSSHD(t testing.TB, o SSHOptions) *SSHD {
	t.Helper()
	Need(t, "sshd", "ssh-keygen")
	NeedRoot(t)
	if o.Machine == nil {
		// Where sshd's own service makes it, too.
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := &SSHD{Port: o.Port, Dir: Dir(t)}
	if d.Port == 0 {
		d.Port = FreePort(t, "127.0.0.1")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1"
	}
	if len(o.HostKeys) == 0 {
		o.HostKeys = []string{"ed25519"}
	}
	lines := append([]string(nil), o.Lines...)
	for _, kind := range o.HostKeys {
		file := filepath.Join(d.Dir, "host_"+kind)
		d.HostKeys = append(d.HostKeys, SSHKey(t, file, kind, ""))
		lines = append(lines, "HostKey "+file)
	}
	lines = append(lines, fmt.Sprintf("Port %d", d.Port), "ListenAddress "+o.Addr, "PidFile none", "AuthorizedKeysFile "+d.Dir+"/authorized",
		"StrictModes no", "UsePAM no", "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no", "LogLevel VERBOSE")
	config := filepath.Join(d.Dir, "sshd_config")
	for file, text := range map[string]string{config: strings.Join(lines, "\n") + "\n", filepath.Join(d.Dir, "authorized"): ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.Process = o.Start(t, lookPath("sshd"), "-D", "-e", "-f", config) // sshd wants an absolute path
	if !d.WaitLog("Server listening", 5*time.Second) {
		t.Fatalf("sshd: %s", d.Log())
	}
	return d
}

// SSHKey makes a key of a type for ssh-keygen, perhaps encrypted, and gives its public half, "TYPE BASE64".
func SSHKey(t testing.TB, file, kind, passphrase string, options ...string) string {
	t.Helper()
	args := append([]string{"ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", file}, options...)
	Place{}.Must(t, args...)
	b, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

// Authorize lets the owner of a public key in.
func (d *SSHD) Authorize(t testing.TB, public string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Dir, "authorized"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = fmt.Fprintln(f, public)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		t.Fatal(err)
	}
}
