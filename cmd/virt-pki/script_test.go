package main

import (
	"flag"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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
		},
	})
}
