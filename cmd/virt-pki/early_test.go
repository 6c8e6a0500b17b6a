package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asProcess runs this test binary as the program, so that package early has its chance.
func asProcess(t *testing.T, env []string, args ...string) called {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	cmd := exec.Command(self)
	cmd.Args, cmd.Stdout, cmd.Stderr, cmd.Env = args, &out, &errs, append(os.Environ(), env...)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return called{args[1:], cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// TestQueryDNAnswersTheSameEarlyAndLate compares a process, which package early may answer, with the command itself.
func TestQueryDNAnswersTheSameEarlyAndLate(t *testing.T) {
	queryDNDir(t)
	for _, line := range []string{
		"virt-pki query-dn cert.pem", "virt-pki query-dn cert.pem cert.pem", "virt-pki query-dn cert.pem empty.pem",
		"virt-pki query-dn dir", "virt-pki query-dn dangling.pem", "virt-pki query-dn --json cert.pem", "virt-pki query-dn --all cert.pem",
		"virt-pki query-dn -x.pem", "virt-pki query-dn -- -x.pem", "virt-pki query-dn", "virt-pki query-dn -h",
		queryDNTool + " cert.pem", queryDNTool + " cert.pem cert.pem", queryDNTool + " empty.pem", queryDNTool + " -v", queryDNTool + " dir",
		queryDNTool + " -- -x.pem", queryDNTool + " två.pem",
	} {
		args := strings.Fields(line)
		if got, want := asProcess(t, nil, args...), inProcess(t, "", args...); !got.same(want) {
			t.Errorf("%s:\nprocess %+v\ncommand %+v", line, got, want)
		}
	}
}

// TestQueryDNDoesNotInitialiseWhatItDoesNotUse has Go's runtime list the packages that were initialised.
func TestQueryDNDoesNotInitialiseWhatItDoesNotUse(t *testing.T) {
	queryDNDir(t)
	const heavy = "init github.com/weppos/publicsuffix-go/publicsuffix "
	trace := []string{"GODEBUG=inittrace=1"}
	for _, args := range [][]string{{"virt-pki", "query-dn", "cert.pem"}, {filepath.Join("x", queryDNTool), "cert.pem"}} {
		if got := asProcess(t, trace, args...); got.RC != 0 || strings.Contains(got.Err, heavy) || !strings.Contains(got.Err, "init ") {
			t.Errorf("%q initialises the public suffix list (status %d)", args, got.RC)
		}
	}
	if got := asProcess(t, trace, "virt-pki", "query-dn", "--all", "cert.pem"); !strings.Contains(got.Err, heavy) {
		t.Error("nobody initialises the public suffix list any more: is package early still of use?")
	}
}
