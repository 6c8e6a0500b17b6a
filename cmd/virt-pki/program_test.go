package main

import (
	"os"
	"os/exec"
	"testing"
)

// needProgram skips a test whose real program is not installed; with VIRT_PKI_REQUIRE_PEERS=1 that is a failure.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err == nil {
		return
	}
	if os.Getenv("VIRT_PKI_REQUIRE_PEERS") == "1" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
}
