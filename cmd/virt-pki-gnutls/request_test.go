package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/gnutls"
)

func TestAuthoritiesAreReadFromEachVersionsRequest(t *testing.T) {
	names := "\x00\x08\x00\x02ab\x00\x02cd" // two
	for name, message := range map[string]string{
		"TLS 1.3": "\x00\x00\x16\x00\x0d\x00\x04\x00\x02\x04\x03\x00\x2f\x00\x0a" + names,
		"TLS 1.2": "\x02\x01\x40\x00\x04\x04\x01\x04\x03" + names,
		"TLS 1.1": "\x02\x01\x40" + names,
	} {
		got := authorities([]byte(message))
		if len(got) != 2 || string(got[0]) != "ab" || string(got[1]) != "cd" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func FuzzAuthorities(f *testing.F) {
	f.Add([]byte("\x00\x00\x16\x00\x0d\x00\x04\x00\x02\x04\x03\x00\x2f\x00\x0a\x00\x08\x00\x02ab\x00\x02cd"))
	f.Add([]byte("\x02\x01\x40\x00\x04\x04\x01\x04\x03\x00\x08\x00\x02ab\x00\x02cd"))
	f.Fuzz(func(t *testing.T, message []byte) {
		n := 0
		for _, name := range authorities(message) {
			n += 2 + len(name)
		}
		if n > len(message) {
			t.Errorf("%d bytes of names in %d", n, len(message))
		}
	})
}

// TestAHandshakeGoesOverPipes joins a client and a server by pipes, as a shell or ssh does, which the library itself
// does not take.
func TestAHandshakeGoesOverPipes(t *testing.T) {
	needLibrary(t)
	dir := writePKI(t)
	end := func(role string) (*exec.Cmd, *bytes.Buffer) {
		cmd := program(role, "--ca", filepath.Join(dir, "cacert.pem"), "--cert", filepath.Join(dir, role+"cert.pem"),
			"--key", filepath.Join(dir, role+"key.pem"), "--timeout", "10s")
		answer := &bytes.Buffer{}
		cmd.Stderr = answer
		return cmd, answer
	}
	client, says := end("client")
	server, answers := end("server")
	var err error
	if server.Stdin, err = client.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if client.Stdin, err = server.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	for _, cmd := range []*exec.Cmd{client, server} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	errServer := server.Wait()
	errClient := client.Wait()
	for _, b := range []*bytes.Buffer{says, answers} {
		var o gnutls.Answer
		if err := json.Unmarshal(b.Bytes(), &o); err != nil || !o.OK || o.Stage != "done" || o.Suite == "" {
			t.Errorf("%v, %v, %v: %s", err, errClient, errServer, b)
		}
	}
}
