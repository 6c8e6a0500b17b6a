package main

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"virt-pki":  main,
		queryDNTool: main,
	})
}

// TestScripts runs the command line's golden tests: standard output, standard error, exit status, files and modes.
func TestScripts(t *testing.T) {
	// The directories are open to other users, for the command nobody.
	root, err := os.MkdirTemp("", "virt-pki-script-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		WorkdirRoot:         root,
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("GORACE", os.Getenv("GORACE")) // scripts/test shortens the race detector's good-bye
			e.Setenv("VIRT_PKI_PASSPHRASE", "")
			e.Setenv("VIRT_PKI_BACKUP_PASSPHRASE", "")
			return os.MkdirAll(e.WorkDir+"/tmp", 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"status": exitStatus,
			"mode":   fileMode,
			"json":   sameJSON,
			"nobody": asNobody,
			"next":   runNext,
			"stuck":  makeStuck,
			"label":  setLabel,
		},
		Condition: func(cond string) (bool, error) {
			if cond == "labels" { // whether files can be given SELinux labels here
				f, err := os.CreateTemp(root, "label")
				if err != nil {
					return false, err
				}
				defer os.Remove(f.Name())
				return unix.Fsetxattr(int(f.Fd()), "security.selinux", []byte("a:b:c:d\x00"), 0) == nil, f.Close()
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
	})
}

// setLabel gives files an SELinux label: label CONTEXT FILE...
func setLabel(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: label CONTEXT FILE...")
	}
	for _, name := range args[1:] {
		ts.Check(unix.Setxattr(ts.MkAbs(name), "security.selinux", []byte(args[0]+"\x00"), 0))
	}
}
