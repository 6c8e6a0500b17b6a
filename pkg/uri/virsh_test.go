package uri

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var record = flag.Bool("record", false, "write testdata/virsh.jsonl anew from the installed virsh")

// virshCase is one URI and what virsh does with it.
type virshCase struct {
	URI      string `json:"uri"`
	User     bool   `json:"user,omitempty"`     // an ordinary user, not root
	ReadOnly bool   `json:"readonly,omitempty"` // virsh -r
	virshDoes
}

// virshDoes is what can be seen of it.
type virshDoes struct {
	Error  string   `json:"error,omitempty"`  // refused before any traffic
	Name   *string  `json:"name,omitempty"`   // sent to the daemon
	Socket string   `json:"socket,omitempty"` // that could not be connected
	CA     string   `json:"ca,omitempty"`     // that could not be read
	Server string   `json:"server,omitempty"` // that could not be reached
	Argv   []string `json:"argv,omitempty"`   // run
}

const testHome, testRun = "/nonexistent/home", "/nonexistent/run"

func (c virshCase) options() Options {
	return Options{Root: !c.User, Home: testHome, RuntimeDir: testRun, ReadOnly: c.ReadOnly}
}

// ours is what this package says of the case, in the same terms.
func (c virshCase) ours(exists func(string) bool) (virshDoes, error) {
	const rec = "/x/rec"
	u, err := Parse(strings.ReplaceAll(c.URI, "{rec}", rec), c.options())
	var refused *Error
	if errors.As(err, &refused) {
		return virshDoes{Error: strings.ReplaceAll(refused.LibvirtMessage, rec, "{rec}")}, nil
	} else if err != nil {
		return virshDoes{}, err
	}
	var d virshDoes
	if u.Transport() == Client {
		d.Error = c.Error // what the driver itself says of its path is not of the URI
		return d, nil
	}
	name := u.RemoteName()
	d.Name = &name
	if argv, ok := u.Argv(); ok {
		for i := range argv {
			argv[i] = strings.ReplaceAll(argv[i], rec, "{rec}")
		}
		d.Argv = argv
	}
	if s, ok := u.Sockets(); ok && u.Transport() == Unix {
		d.Socket = s.Choose(exists)
	}
	if f, ok := u.Files(); ok {
		d.CA = f.Choose(exists).CA
	}
	if u.Transport() == TCP {
		d.Server = u.Address()
	}
	return d, nil
}

func readVirshCases(t *testing.T) []virshCase {
	t.Helper()
	f, err := os.Open("testdata/virsh.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var cases []virshCase
	for sc := bufio.NewScanner(f); sc.Scan(); {
		var c virshCase
		if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	return cases
}

func TestEveryURIMeansWhatRecordedVirshMakesOfIt(t *testing.T) {
	cases := readVirshCases(t)
	if len(cases) < 200 {
		t.Fatalf("%d cases, want at least 200", len(cases))
	}
	for _, c := range cases {
		got, err := c.ours(nil)
		if err != nil {
			t.Errorf("%s: %v", c.URI, err)
			continue
		}
		if diff := cmp.Diff(c.virshDoes, got); diff != "" {
			t.Errorf("%s (user %v): -virsh +ours\n%s", c.URI, c.User, diff)
		}
	}
}

// TestVirshAgrees asks the installed virsh about the same URIs.
func TestVirshAgrees(t *testing.T) {
	virsh, err := exec.LookPath("virsh")
	if err != nil {
		if os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1" {
			t.Fatal("virsh is not installed, and VIRT_PKI_REQUIRE_PEERS=1")
		}
		t.Skip("virsh is not installed")
	}
	out, err := exec.Command(virsh, "--version").Output()
	if v := strings.TrimSpace(string(out)); err != nil || v != "9.0.0" {
		t.Skipf("the cases are those of virsh 9.0.0; this is %q", v)
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to be root and to become an ordinary user")
	}
	dir, err := os.MkdirTemp("", "uri")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	rec := filepath.Join(dir, "rec")
	script := "#!/bin/sh\nfor a in \"$0\" \"$@\"; do printf '%s\\0' \"$a\"; done > " + dir + "/argv\n"
	if err := os.WriteFile(rec, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}

	var cases []virshCase
	if *record {
		for _, s := range strings.Split(strings.TrimSpace(virshURIs), "\n") {
			for _, c := range []virshCase{{URI: s}, {URI: s, User: true}, {URI: s, User: true, ReadOnly: true}, {URI: s, ReadOnly: true}} {
				if c.ReadOnly && !strings.Contains(s, "ssh") && !strings.Contains(s, "unix") && !strings.Contains(s, ":///") || len(cases) > 3 && c.ReadOnly && len(s)%3 > 0 {
					continue
				}
				cases = append(cases, c)
			}
		}
	} else {
		cases = readVirshCases(t)
	}
	var lines bytes.Buffer
	for _, c := range cases {
		got := runVirsh(t, virsh, dir, c, rec)
		if *record {
			c.virshDoes = got
			enc := json.NewEncoder(&lines)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(c); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got.CA == "" {
			c.CA = "" // there are credentials on this machine
		}
		if diff := cmp.Diff(got, c.virshDoes); diff != "" {
			t.Errorf("%s (user %v, read-only %v): -virsh +recorded\n%s", c.URI, c.User, c.ReadOnly, diff)
		}
	}
	if *record {
		if err := os.WriteFile("testdata/virsh.jsonl", lines.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

var (
	nameLine   = regexp.MustCompile(`proceeding with name = (.*)`)
	socketLine = regexp.MustCompile(`^Failed to connect socket to '(.*)': `)
	caLine     = regexp.MustCompile(`^Cannot read CA certificate '(.*)': `)
	serverLine = regexp.MustCompile(`^unable to connect to server at '(.*)': |^Unable to resolve address '.*' service`)
)

func runVirsh(t *testing.T, virsh, dir string, c virshCase, rec string) virshDoes {
	t.Helper()
	log, argv := filepath.Join(dir, "log"), filepath.Join(dir, "argv")
	os.Remove(log)
	os.Remove(argv)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	args := []string{"-c", strings.ReplaceAll(c.URI, "{rec}", rec), "hostname"}
	if c.ReadOnly {
		args = append([]string{"-r"}, args...)
	}
	cmd := exec.CommandContext(ctx, virsh, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + testHome, "XDG_RUNTIME_DIR=" + testRun,
		"LIBVIRT_AUTOSTART=0", "LIBVIRT_LOG_FILTERS=1:remote", "LIBVIRT_LOG_OUTPUTS=1:file:" + log}
	if c.User {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()

	var d virshDoes
	if b, err := os.ReadFile(log); err == nil {
		if m := nameLine.FindSubmatch(b); m != nil {
			s := string(m[1])
			d.Name = &s
		}
	}
	if b, err := os.ReadFile(argv); err == nil {
		for _, a := range strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00") {
			d.Argv = append(d.Argv, strings.ReplaceAll(a, rec, "{rec}"))
		}
		return d
	}
	if err == nil {
		return d
	}
	ls := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	msg := strings.TrimPrefix(ls[len(ls)-1], "error: ")
	if m := socketLine.FindStringSubmatch(msg); m != nil {
		d.Socket = m[1]
	} else if m := caLine.FindStringSubmatch(msg); m != nil {
		d.CA = m[1]
	} else if m := serverLine.FindStringSubmatch(msg); m != nil {
		d.Server = m[1]
	} else {
		d.Error, d.Name = strings.ReplaceAll(msg, rec, "{rec}"), nil
	}
	return d
}
