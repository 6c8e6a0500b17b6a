package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/virt-pki/virt-pki/pkg/unit"
)

// TestPreflightReadsTheHostItself runs preflight without options on a pretended machine with this machine's own units of
// libvirt, with words of a real systemctl (252, recorded with libvirt 9.0.0's units) where it is to have systemd running.
func TestPreflightReadsTheHostItself(t *testing.T) {
	for _, program := range []string{"libvirtd", "python3", "unshare", "ip"} {
		needProgram(t, program)
	}
	required := os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1"
	unable := func(why string) {
		t.Helper()
		if required {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	if unit.New(os.DirFS("/")).Survey(nil).Daemon("libvirtd") == nil {
		unable("there are no units of libvirtd here")
	}
	if err := exec.Command("unshare", "-m", "-n", "true").Run(); err != nil {
		unable("namespaces cannot be made: it takes root")
	}
	dir, err := os.MkdirTemp("", "virt-pki-host-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	etc, run, bin := filepath.Join(dir, "etc"), filepath.Join(dir, "run"), filepath.Join(dir, "bin")
	if out, err := exec.Command("cp", "-a", "/etc", etc).CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	for _, d := range []string{run, bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "virt-pki")); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	pki := filepath.Join(dir, "pki")
	if out, err := exec.Command(filepath.Join(bin, "virt-pki"), "init", "-q", "--no-passphrase", "--pkipath", pki, "--server", "localhost", "--client", "admin").
		CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	os.RemoveAll(filepath.Join(etc, "pki"))
	for name, to := range map[string]string{"cacert.pem": "CA/cacert.pem", "servercert.pem": "libvirt/servercert.pem", "serverkey.pem": "libvirt/private/serverkey.pem"} {
		b, err := os.ReadFile(filepath.Join(pki, name))
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(etc, "pki", to), string(b), 0o644)
	}
	units := filepath.Join(etc, "systemd/system")
	conf, args, wants := filepath.Join(etc, "libvirt/libvirtd.conf"), filepath.Join(etc, "default/libvirtd"), filepath.Join(units, "sockets.target.wants")
	os.RemoveAll(filepath.Join(units, "multi-user.target.wants"))
	// in runs a program in the pretended machine's place; before is a command of the shell that comes first.
	in := func(before string, words ...string) result {
		t.Helper()
		cmd := exec.Command("unshare", append([]string{"-m", "-n", "--propagation", "private", "sh", "-c", "set -e\nip link set lo up\nmount --bind " + etc + " /etc\n" +
			"mount --bind " + run + " /run\n" + before + "\n" + `"$@"`, "sh"}, words...)...)
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var ee *exec.ExitError
		if err != nil && !errors.As(err, &ee) {
			t.Fatal(err)
		}
		return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	}
	preflight := func(uris ...string) result {
		t.Helper()
		return in("", append([]string{"virt-pki", "preflight", "--no-resolve", "--libvirt", "9.0"}, uris...)...)
	}
	reset := func() {
		write(conf, "tls_allowed_dn_list = [ \"CN=admin\" ]\n", 0o644)
		write(args, "", 0o644)
		os.RemoveAll(wants)
		for _, s := range []string{"", "-ro", "-admin", "-tcp", "-tls"} {
			os.Remove(filepath.Join(units, "libvirtd"+s+".socket"))
		}
		link(t, "/lib/systemd/system/libvirtd.service", filepath.Join(units, "multi-user.target.wants/libvirtd.service"))
		link(t, "/lib/systemd/system/libvirtd.socket", wants+"/libvirtd.socket")
	}
	says := func(r result, exit int, lines ...string) {
		t.Helper()
		if r.exit != exit {
			t.Errorf("exit status %d, not %d", r.exit, exit)
		}
		for _, l := range lines {
			if !strings.Contains(r.stdout, l+"\n") {
				t.Errorf("it does not say %q: %v", l, r)
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}

	reset()
	says(preflight(), 0, "libvirtd of libvirt 9.0.0 with /etc/libvirt/libvirtd.conf: starts, listens for no remote connections",
		"warning: /etc/libvirt/libvirtd.conf: systemd passes libvirtd its sockets, and libvirtd-tls.socket is disabled. [daemon-does-not-listen]")

	if r := in("", "virt-pki", "preflight", "--libvirt", "auto"); r.exit != 0 || !strings.HasPrefix(r.stdout, "libvirtd of libvirt ") {
		t.Errorf("the installed version: %v", r)
	}
	link(t, "/lib/systemd/system/libvirtd-tls.socket", wants+"/libvirtd-tls.socket")
	connects := preflight("test+tls://localhost/default?pkipath=" + pki)
	says(connects, 0, "libvirtd of libvirt 9.0.0 with /etc/libvirt/libvirtd.conf: starts, listens for TLS on port 16514")
	if !strings.Contains(connects.stdout, "pkipath="+pki+": connected (TLS1.3, ") {
		t.Errorf("the client does not connect: %v", connects)
	}

	// systemd runs, and the socket does not.
	write(filepath.Join(run, "systemd/system/x.conf"), "", 0o644)
	write(filepath.Join(bin, "systemctl"), "#!/bin/sh\ncase \"$*\" in 'show --no-pager --property='*) cat \"$0.out\";; *) exit 3;; esac\n", 0o755)
	answer := func(tls string) string {
		return "MainPID=106\nExecMainStartTimestamp=" + time.Now().Add(time.Hour).UTC().Format("Mon 2006-01-02 15:04:05 MST") +
			"\nId=libvirtd.service\nNames=libvirtd.service\nLoadState=loaded\nActiveState=active\nSubState=running\n" +
			"FragmentPath=/lib/systemd/system/libvirtd.service\nUnitFileState=enabled\nNeedDaemonReload=no\n\n" +
			"Id=libvirtd-tls.socket\nNames=libvirtd-tls.socket\nLoadState=loaded\nActiveState=" + tls + "\nSubState=dead\n" +
			"FragmentPath=/lib/systemd/system/libvirtd-tls.socket\nUnitFileState=enabled\nNeedDaemonReload=no\n\n" +
			"Id=libvirtd.socket\nNames=libvirtd.socket\nLoadState=loaded\nActiveState=active\nSubState=running\n\n" +
			"MainPID=0\nId=virtproxyd.service\nNames=virtproxyd.service\nLoadState=not-found\nActiveState=inactive\n"
	}
	write(filepath.Join(bin, "systemctl.out"), answer("inactive"), 0o644)
	says(preflight(), 1, "error: /usr/lib/systemd/system/libvirtd-tls.socket: libvirtd-tls.socket is enabled, but inactive: systemd does not start it while "+
		"libvirtd.service runs [socket-not-started]",
		"    cure: systemctl stop libvirtd.service; systemctl start libvirtd-tls.socket; systemctl start libvirtd.service")
	write(filepath.Join(bin, "systemctl.out"), strings.ReplaceAll(answer("active"), time.Now().UTC().Format("2006"), "2020"), 0o644)
	r := preflight()
	says(r, 0)
	if !strings.Contains(r.stdout, "and libvirtd runs since 2020-") || !strings.Contains(r.stdout, "[daemon-not-restarted]") {
		t.Errorf("it does not say that the daemon is older than its files: %v", r)
	}
	write(filepath.Join(bin, "systemctl"), "#!/bin/sh\necho nobody is there >&2\nexit 1\n", 0o755)
	says(preflight(), 3, "not checked: what systemd runs now: systemctl ends with exit status 1: nobody is there")
	os.Remove(filepath.Join(bin, "systemctl"))
	os.RemoveAll(filepath.Join(run, "systemd"))

	write(args, "LIBVIRTD_ARGS=\"--listen\"\n", 0o644)
	says(preflight(), 1, "libvirtd of libvirt 9.0.0 with /etc/libvirt/libvirtd.conf: does not start (exit status 6) [listen-with-sockets]")

	// The sockets are masked, and the port is another's.
	for _, s := range []string{"", "-ro", "-admin", "-tcp", "-tls"} {
		link(t, "/dev/null", filepath.Join(units, "libvirtd"+s+".socket"))
	}
	says(preflight(), 0, "libvirtd of libvirt 9.0.0 with /etc/libvirt/libvirtd.conf: starts, listens for TLS on port 16514")
	taker := `python3 -c "import socket, time
s = socket.socket(socket.AF_INET6); s.bind(('::', 16514)); s.listen(); open('/run/ready', 'w'); time.sleep(60)" & taker=$!
trap "kill $taker" EXIT
while test ! -e /run/ready; do sleep 0.05; done`
	says(in(taker, "virt-pki", "preflight", "--libvirt", "9.0"), 1, "libvirtd of libvirt 9.0.0 with /etc/libvirt/libvirtd.conf: does not start (exit status 6) [port-taken]",
		"    why          Port 16514 is taken: python3 on [::]:16514.", "    log          Unable to bind to port: Address already in use")
}

// A result is what a program printed, and how it ended.
type result struct {
	exit           int
	stdout, stderr string
}

func link(t *testing.T, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	os.Remove(name)
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
}
