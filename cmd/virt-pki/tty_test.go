//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openTerminal gives both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals: ", err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// A line is what the program asks for, and what the user types then.
type line struct{ prompt, typed string }

// atTerminal runs virt-pki with a terminal as standard input and error, types the lines, and gives what was on standard
// output and on the terminal.
func atTerminal(t *testing.T, dialogue []line, args ...string) (rc int, stdout, shown string) {
	t.Helper()
	keyboard, terminal := openTerminal(t)
	// The test binary is virt-pki when called so: see TestMain.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "virt-pki")
	if err := os.Symlink(self, program); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), passphraseVariable+"=")
	var out bytes.Buffer
	cmd.Stdin, cmd.Stderr, cmd.Stdout = terminal, terminal, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	var all strings.Builder
	buffer := make([]byte, 4096)
	for _, l := range dialogue {
		// The prompt, behind what was there before; then the echo is off.
		begin := all.Len()
		for !strings.Contains(all.String()[begin:], l.prompt) {
			n, err := keyboard.Read(buffer)
			if err != nil {
				t.Fatalf("the program ended before it asked %q; it said %q", l.prompt, all.String())
			}
			all.Write(buffer[:n])
		}
		time.Sleep(50 * time.Millisecond) // the echo is switched off after the prompt is written
		typed := l.typed
		if typed != "\x03" { // Ctrl-C needs no Enter
			typed += "\n"
		}
		if _, err := keyboard.WriteString(typed); err != nil {
			t.Fatal(err)
		}
	}
	for {
		n, err := keyboard.Read(buffer)
		all.Write(buffer[:n])
		if err != nil {
			break // the other end is closed
		}
	}
	_ = cmd.Wait()
	if t, err2 := unix.IoctlGetTermios(int(keyboard.Fd()), unix.TCGETS); err2 == nil && t.Lflag&unix.ECHO == 0 {
		all.WriteString("(the echo stays off)")
	}
	return cmd.ProcessState.ExitCode(), out.String(), all.String()
}

func TestThePassphraseIsAskedForOnATerminal(t *testing.T) {
	const first, second, existing = "passphrase for the CA's new key (empty: unencrypted): ", "once more: ", "passphrase of the CA's key: "
	make := func(dir string) []string {
		return []string{"init", "--pkipath", dir, "--server", "localhost", "--client", "admin"}
	}
	key := func(t *testing.T, dir string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, "authority/private/cakey.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	t.Run("twice, and the key is encrypted", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		rc, stdout, shown := atTerminal(t, []line{{first, "s3cr3t"}, {second, "s3cr3t"}}, make(dir)...)
		if rc != 0 || !strings.Contains(stdout, "its key is encrypted") || !strings.HasPrefix(key(t, dir), "-----BEGIN ENCRYPTED PRIVATE KEY-----") {
			t.Fatalf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
		if strings.Contains(stdout+shown, "s3cr3t") {
			t.Errorf("the passphrase was shown: %q", shown)
		}
		rc, _, shown = atTerminal(t, []line{{existing, "s3cr3t"}}, "issue", "client", "bob", "--authority", dir+"/authority", "--pkipath", dir+"-bob")
		if rc != 0 || strings.Contains(shown, "s3cr3t") {
			t.Errorf("exit status %d, terminal %q", rc, shown)
		}
		rc, stdout, shown = atTerminal(t, []line{{existing, "wrong"}}, "issue", "client", "eve", "--authority", dir+"/authority", "--pkipath", dir+"-eve")
		if rc != exitIncomplete || stdout != "" || !strings.Contains(shown, "the passphrase does not decrypt the private key") ||
			!strings.Contains(shown, "hint: mind the keyboard's layout") {
			t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
		if _, err := os.Stat(dir + "-eve"); err == nil {
			t.Error("something was made all the same")
		}
	})
	t.Run("again when the two differ", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		rc, stdout, shown := atTerminal(t, []line{{first, "one"}, {second, "two"}, {first, "three"}, {second, "three"}}, make(dir)...)
		if rc != 0 || !strings.Contains(stdout, "its key is encrypted") || !strings.Contains(shown, "they differ") {
			t.Fatalf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
		rc, _, shown = atTerminal(t, []line{{existing, "three"}}, "issue", "client", "bob", "--authority", dir+"/authority", "--pkipath", dir+"-bob")
		if rc != 0 {
			t.Errorf("exit status %d, terminal %q", rc, shown)
		}
	})
	t.Run("an empty one leaves the key unencrypted, and that is said", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		rc, stdout, shown := atTerminal(t, []line{{first, ""}}, make(dir)...)
		if rc != 0 || !strings.Contains(stdout, "its key lies UNENCRYPTED in ") || !strings.HasPrefix(key(t, dir), "-----BEGIN PRIVATE KEY-----") {
			t.Fatalf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
	})
	t.Run("not with --no-passphrase or --dry-run", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		for _, option := range []string{"--dry-run", "--no-passphrase"} {
			rc, stdout, shown := atTerminal(t, nil, append(make(dir), option)...)
			if rc != 0 || strings.Contains(shown, "passphrase") {
				t.Errorf("%s: exit status %d, stdout %q, terminal %q", option, rc, stdout, shown)
			}
		}
	})
	t.Run("what is wrong anyway is said before it is asked for", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		rc, stdout, shown := atTerminal(t, nil, make(dir)...)
		if rc != exitIncomplete || stdout != "" || !strings.Contains(shown, "it is there already and not empty") {
			t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
	})
	t.Run("Ctrl-C ends it with an error, the echo is on again, and nothing is made", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		rc, stdout, shown := atTerminal(t, []line{{first, "abc"}, {second, "\x03"}}, make(dir)...)
		if rc != exitIncomplete || stdout != "" || !strings.Contains(shown, "virt-pki: error: no passphrase: ") ||
			strings.Contains(shown, "echo stays off") {
			t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("something was made")
		}
	})
	t.Run("three times at most", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "pki")
		var wrong []line
		for range 3 {
			wrong = append(wrong, line{first, "one"}, line{second, "two"})
		}
		rc, stdout, shown := atTerminal(t, wrong, make(dir)...)
		if rc != exitIncomplete || stdout != "" || !strings.Contains(shown, "virt-pki: error: no passphrase: the two differed 3 times") {
			t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("something was made")
		}
	})
}

func TestThePINOfATokenIsAskedForOnATerminal(t *testing.T) {
	// Instead of virt-pki-pkcs11: it says what it was given.
	program := filepath.Join(t.TempDir(), "pkcs11")
	if err := os.WriteFile(program, []byte(`#!/bin/sh
read -r line
say() { echo "{\"error\":{\"code\":\"$1\",\"message\":\"$2\"}}"; }
case $line in
*'"pin":"1234"'*) say refused 'the right PIN came' ;;
*'"pin":'*) say pin-wrong 'the PIN of token \"ca\" is wrong' ;;
*) say pin-needed 'token \"ca\" wants its PIN; one try is left before it locks' ;;
esac
`), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv(tokenVariable, program)
	dir := filepath.Join(t.TempDir(), "pki")
	args := []string{"init", "--pkipath", dir, "--server", "localhost", "--client", "admin", "--ca-key", "pkcs11:token=ca;object=root"}
	for _, c := range []struct{ typed, want string }{
		{"1234", `virt-pki: error: the CA's key: the right PIN came`},
		{"geheim", `virt-pki: error: the CA's key: the PIN of token "ca" is wrong`},
	} {
		rc, stdout, shown := atTerminal(t, []line{{`token "ca" wants its PIN; one try is left before it locks: `, c.typed}}, args...)
		if rc != exitIncomplete || stdout != "" || !strings.Contains(shown, c.want) || strings.Contains(shown, c.typed) {
			t.Errorf("PIN %q: status %d, %q, on the terminal:\n%s", c.typed, rc, stdout, shown)
		}
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("something was made")
	}
}

func TestApplyAsksOnATerminalAndShowsThePlanBefore(t *testing.T) {
	dir := t.TempDir()
	spec := filepath.Join(dir, "cluster.toml")
	if err := os.WriteFile(spec, []byte("out = \"c\"\n[authority]\ndir = \"c/authority\"\n[[clients]]\nname = \"admin\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const question = "do this? [y/N] "
	rc, stdout, shown := atTerminal(t, []line{{question, "n"}}, "apply", "--spec", spec, "--no-passphrase")
	if rc != exitIncomplete || !strings.Contains(stdout, "  issue    client admin (libvirt): it is not there") || !strings.Contains(shown, "nothing was done") {
		t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
	}
	if _, err := os.Stat(filepath.Join(dir, "c")); err == nil {
		t.Error("something was made all the same")
	}
	rc, stdout, shown = atTerminal(t, []line{{question, "yes"}}, "apply", "--spec", spec, "--no-passphrase")
	if rc != 0 || !strings.Contains(stdout, "made ") {
		t.Errorf("exit status %d, stdout %q, terminal %q", rc, stdout, shown)
	}
}

func TestTheTimeLeftIsToldWhenItCanBe(t *testing.T) {
	for _, tt := range []struct {
		spent       time.Duration
		done, total int
		want        string
	}{
		{500 * time.Millisecond, 1, 100, ""},
		{2 * time.Second, 0, 100, ""},
		{2 * time.Second, 10, 100, ", 18 seconds left"},
		{10 * time.Second, 10, 1000, ", 17 minutes left"},
		{10 * time.Second, 99, 100, ""},
		{10 * time.Second, 100, 100, ""},
	} {
		if got := timeLeft(tt.spent, tt.done, tt.total); got != tt.want {
			t.Errorf("%v, %d of %d: %q, want %q", tt.spent, tt.done, tt.total, got, tt.want)
		}
	}
}
