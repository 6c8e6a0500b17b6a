package priority_test

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/virt-pki/virt-pki/pkg/internal/peer"
	"github.com/virt-pki/virt-pki/pkg/internal/vectors"
	"github.com/virt-pki/virt-pki/pkg/priority"
)

func TestExpandAgreesWithRecordedListsAndHellosOfGnuTLS38(t *testing.T) {
	n := 0
	for _, line := range vectors.Lines(t, "testdata/lists-3.8.tsv.gz") {
		f := strings.Split(line, "\t")
		r, err := priority.ParseRelease(f[0])
		if err != nil {
			t.Fatal(err)
		}
		n++
		got := strings.Join(recordedForm(f[1], priority.Options{GnuTLS: r}), "\t")
		if want := strings.Join(f[2:], "\t"); got != want {
			t.Errorf("%s %q:\n got %s\nwant %s", r, f[1], got, want)
		}
	}
	if n < 1000 {
		t.Errorf("only %d records", n)
	}
}

// recordedForm gives the fields of lists-3.8.tsv: the return code and the offset; or 0, suites, protocols, ciphers,
// MACs, key exchanges, groups, signatures, the code of gnutls_priority_set_direct, that of the handshake's start, and
// the hello.
func recordedForm(s string, o priority.Options) []string {
	x, err := priority.Expand(s, o)
	var e *priority.Error
	if errors.As(err, &e) {
		return []string{fmt.Sprint(e.Code), fmt.Sprint(e.Offset)}
	}
	var ids []string
	for _, c := range x.CipherSuites {
		ids = append(ids, fmt.Sprintf("%04x", c.ID))
	}
	out := []string{"0", strings.Join(ids, " ")}
	for _, l := range [][]string{x.Protocols, x.Ciphers, x.MACs, x.KeyExchanges, x.Groups, x.Signatures} {
		out = append(out, strings.Join(l, " "))
	}
	h, err := x.ClientHello()
	switch {
	case x.SetError != nil:
		return append(out, fmt.Sprint(x.SetError.Code), "0", "")
	case errors.As(err, &e):
		return append(out, "0", fmt.Sprint(e.Code), "")
	}
	extensions := make([]string, len(h.Extensions))
	for i, id := range h.Extensions {
		extensions[i] = fmt.Sprintf("%04x", id)
	}
	slices.Sort(extensions) // GnuTLS shuffles them from 3.8.1 on
	return append(out, "0", "0", fmt.Sprintf("%04x/%04x/%d/%s/%s/%s/%s/%s/%s", h.RecordVersion, h.LegacyVersion, h.SessionIDLength,
		hexes(h.CipherSuites), strings.Join(extensions, " "), hexes(h.SupportedVersions), hexes(h.SupportedGroups),
		hexes(h.SignatureAlgorithms), hexes(h.KeyShares)))
}

func TestExpandPrintsWhatGnutlsCliOfOtherReleasesPrints(t *testing.T) {
	for _, name := range []string{"trixie", "sid"} {
		t.Run(name, func(t *testing.T) {
			root := peer.NeedRootFS(t, name)
			run := func(arguments ...string) (string, string) {
				cmd := exec.Command("chroot", append([]string{root, "gnutls-cli"}, arguments...)...)
				var out, errs strings.Builder
				cmd.Stdout, cmd.Stderr = &out, &errs
				cmd.Run()
				return out.String(), errs.String()
			}
			version, trouble := run("--version")
			version, _, _ = strings.Cut(strings.TrimPrefix(version, "gnutls-cli "), "\n")
			r, err := priority.ParseRelease(version)
			if err != nil {
				t.Fatalf("no gnutls-cli in %s: %v (%s)", root, err, trouble)
			}
			g := newGenerator(38)
			for range 150 {
				s := g.priority()
				out, errs := run("--list", "--priority="+s)
				out, errs = normalise(out), normalise(errs)
				gotOut, gotErr := listing(s, priority.Options{GnuTLS: r})
				// gnutls-cli 3.8 leaves the newline after the title out where the list fails.
				if strings.TrimSpace(gotOut) != strings.TrimSpace(out) || strings.TrimSpace(gotErr) != strings.TrimSpace(errs) {
					t.Errorf("%s %q:\n--- ours\n%s%s--- gnutls-cli\n%s%s", r, s, gotOut, gotErr, out, errs)
				}
			}
		})
	}
}

func TestParseReleaseReadsVersions(t *testing.T) {
	for s, want := range map[string]string{
		"3.7": "3.7.9", "3.8": "3.8.13", "3.8.9": "3.8.9", "3.7.1": "3.7.1",
		"3":       `GnuTLS version "3": want a version such as 3.7, 3.8 or 3.8.9`,
		"3.x":     `GnuTLS version "3.x": "x" is no number`,
		"3.6.16":  `GnuTLS version "3.6.16": the rules are known from 3.7 on`,
		"3.8.9.1": `GnuTLS version "3.8.9.1": want a version such as 3.7, 3.8 or 3.8.9`,
	} {
		r, err := priority.ParseRelease(s)
		got := r.String()
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", s, got, want)
		}
	}
}
