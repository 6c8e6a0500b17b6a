package bundle

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"
)

// FuzzHostFiles has all that is read line by line of a host read from one text, and the lines that may be secret taken out.
func FuzzHostFiles(f *testing.F) {
	for _, s := range []string{"root:x:0:0:root:/root:/bin/sh\nlibvirt-qemu:x:64055:\n", "127.0.1.1 h.example.com h\n", "ID=debian\nVERSION_ID=\"12\"\n",
		"Package: libvirt0\nStatus: install ok installed\nVersion: 1:9.0.0-4+deb12u2\n\nPackage: x\n", "mech_list: scram-sha-256 \\\n digest-md5\npassword: x\n",
		"[Service]\nEnvironment=LIBVIRTD_ARGS=--listen \"A_TOKEN=x\"\nSetCredential=a:b\n", "export VIRTD_OPTS=--listen\nDB_PASSWORD=x\\\ny\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		fsys := fstest.MapFS{}
		for _, name := range []string{"etc/passwd", "etc/group", "etc/hosts", "etc/os-release", "var/lib/dpkg/status"} {
			fsys[name] = &fstest.MapFile{Data: text, Mode: 0o644}
		}
		c := &collector{fsys: fsys}
		c.numbers("/etc/passwd")
		c.fullName("h")
		c.release()
		c.versions()
		for _, redact := range []func([]byte) ([]byte, []string){redactUnit, redactVariables, redactSASL} {
			out, leftOut := redact(text)
			if a, b := bytes.Count(text, []byte("\n")), bytes.Count(out, []byte("\n")); a != b {
				t.Errorf("%d lines became %d: %q", a, b, out)
			}
			if len(leftOut) == 0 && len(bytes.TrimSpace(out)) < len(bytes.TrimSpace(text)) {
				t.Errorf("what was left out is not said: %q", text)
			}
		}
		out, _ := redactVariables(text)
		for line := range strings.Lines(string(out)) {
			if secretWord.MatchString(line) {
				t.Errorf("a secret stays: %q", line)
			}
		}
	})
}
