package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// FuzzReport puts what stands in others' files (names, messages of a peer, paths) into every form of report: each stays
// well-formed, none lets control characters through to a terminal, and none grows beyond a few times what was put in.
func FuzzReport(f *testing.F) {
	f.Add("cert.pem", "The name \"CN=x\" is not good.", "libvirt says")
	f.Add("a\x1b[31m]]>", "\x00\xff<&\"'", "\u2028\ufffe")
	f.Add("", "", "")
	f.Fuzz(func(t *testing.T, subject, message, said string) {
		fs := []finding.Finding{{Rule: "ca-expired", Severity: finding.Error, Effect: finding.RefusesToStart, Subject: subject, Message: message,
			LibvirtMessage: said, Remedy: "virt-pki renew", Evidence: map[string]string{"name": subject}}}
		in := len(subject) + len(message) + len(said)
		report := func(write func(p *program) error) []byte {
			var out bytes.Buffer
			if err := write(&program{stdout: &out, stderr: io.Discard}); err != nil {
				t.Fatal(err)
			}
			if out.Len() > 40*in+4096 {
				t.Errorf("%d octets make a report of %d", in, out.Len())
			}
			return out.Bytes()
		}
		for name, write := range map[string]func(p *program) error{
			"SARIF": func(p *program) error { return p.printSARIF(fs) },
			"JSON":  func(p *program) error { return p.printJSON(checkView{Schema: 1, Findings: fs}) },
		} {
			if out := report(write); !json.Valid(out) {
				t.Errorf("%s is no JSON: %q", name, out)
			}
		}
		out := report(func(p *program) error {
			return p.printJUnit(subject, []junitCase{{name: message, class: subject, kind: said, message: message, text: said}, {name: said, unchecked: []string{message}}})
		})
		d := xml.NewDecoder(bytes.NewReader(out))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("JUnit is no XML: %v: %q", err, out)
			}
		}
		text := report(func(p *program) error { p.printFindings(p.stdout, fs, painter(false)); return nil })
		for _, r := range strings.ReplaceAll(string(text), "\n", "") {
			if unicode.IsControl(r) {
				t.Fatalf("the text has the control character %U: %q", r, text)
			}
		}
	})
}
