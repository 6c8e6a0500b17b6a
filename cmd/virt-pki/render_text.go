package main

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// The text renderers. They see the same values as the JSON renderer and decide nothing.

// printNames prints names as virt-pki-query-dn does, one a line, byte for byte; errors go to standard error.
func (p *program) printNames(views []nameView, all bool) {
	for i, v := range views {
		if v.Error != nil {
			fmt.Fprintf(p.stderr, "virt-pki: error: %s: %s\n", v.File, *v.Error)
			for _, h := range v.hints {
				p.hint("%s", h)
			}
			continue
		}
		if !all {
			fmt.Fprintln(p.stdout, v.DN)
			continue
		}
		if i > 0 {
			fmt.Fprintln(p.stdout)
		}
		fmt.Fprintf(p.stdout, "%s\n  libvirt   %s\n", v.File, v.DN)
		if v.GnuTLS38 != "" {
			fmt.Fprintf(p.stdout, "            %s   (with GnuTLS 3.8.4 and later)\n", v.GnuTLS38)
		}
		fmt.Fprintf(p.stdout, "  openssl   %s\n  certtool  %s\n", v.OpenSSL, v.Certtool)
		if v.Certtool != v.DN {
			fmt.Fprintf(p.stdout, "Only the first is what tls_allowed_dn_list is compared with.\n")
		}
	}
}

func (p *program) printMatch(v matchView) {
	if v.Allowed {
		if v.Matched != nil {
			fmt.Fprintf(p.stdout, "let in: %s\n    by: %s\n", visible(v.DN), visible(*v.Matched))
		} else {
			fmt.Fprintf(p.stdout, "let in: %s\n        %s\n", visible(v.DN), v.Reason)
		}
	} else {
		fmt.Fprintf(p.stdout, "kept out: %s\n          %s\n", visible(v.DN), v.Reason)
		if v.Suggestion != nil {
			fmt.Fprintf(p.stdout, "     add: %s\n", visible(confString(*v.Suggestion)))
		}
	}
	for _, t := range v.Patterns {
		if t.GLib != t.Fnmatch {
			fmt.Fprintf(p.stdout, "note: %s: libvirt before 7.0 (fnmatch) said %s, now it is %s\n", visible(confString(t.Pattern)), yesNo(t.Fnmatch), yesNo(t.GLib))
		}
	}
	for _, w := range v.Warnings {
		p.warn("%s", w)
	}
}

func (p *program) printHosts(views []hostView) {
	for _, v := range views {
		fmt.Fprintf(p.stdout, "%-3s  %s: %s\n", yesNo(v.Match), visible(v.Host), v.Reason)
	}
}

// confString writes a text as a string of libvirtd.conf, which knows no escapes.
func confString(s string) string {
	if strings.Contains(s, `"`) && !strings.Contains(s, "'") {
		return "'" + s + "'"
	}
	return `"` + s + `"`
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// printFindings prints findings, one paragraph each: severity and subject, the sentence, what libvirt says, the cure.
func (p *program) printFindings(w io.Writer, fs []finding.Finding, paint painter) {
	for _, f := range fs {
		fmt.Fprintf(w, "%s %s: %s [%s]\n", paint.severity(f.Severity), visible(f.Subject), visible(f.Message), f.Rule)
		if e := effectText(f.Rule, f.Effect); e != "" {
			fmt.Fprintf(w, "    %s%s\n", e, versionsText(f))
		}
		if f.LibvirtMessage != "" {
			fmt.Fprintf(w, "    %s says: %s\n", whose(f.Rule), visible(f.LibvirtMessage))
		}
		if f.Remedy != "" {
			fmt.Fprintf(w, "    cure: %s\n", f.Remedy)
		}
	}
}

// whose names the program that a rule is of.
func whose(rule string) string {
	if strings.HasPrefix(rule, "qemu-") {
		return "QEMU"
	}
	return "libvirt"
}

func effectText(rule string, e finding.Effect) string {
	switch {
	case e == finding.RefusesToStart && whose(rule) == "QEMU":
		return "QEMU does not listen: no guest, migration or export with these files"
	case e == finding.RefusesOwnCertificate && whose(rule) == "QEMU":
		return "QEMU stops before it connects"
	}
	switch e {
	case finding.RefusesToStart:
		return "the daemon does not start"
	case finding.RefusesPeer:
		return "the other end is refused"
	case finding.RefusesOwnCertificate:
		return "the client stops before it connects"
	case finding.Warns:
		return "libvirt logs a warning and goes on"
	case finding.Ignores:
		return "libvirt does not look at it"
	}
	return ""
}

// versionsText says for which versions a finding holds, when not for all.
func versionsText(f finding.Finding) string {
	who := whose(f.Rule)
	switch {
	case f.Since != "" && f.Until != "":
		return fmt.Sprintf(" (%s %s up to, but not, %s)", who, f.Since, f.Until)
	case f.Since != "":
		return fmt.Sprintf(" (%s %s and later)", who, f.Since)
	case f.Until != "":
		return fmt.Sprintf(" (%s before %s)", who, f.Until)
	}
	return ""
}

// count words the numbers of findings by severity: "1 error, 2 warnings".
func count(fs []finding.Finding) string {
	n := map[finding.Severity]int{}
	for _, f := range fs {
		n[f.Severity]++
	}
	var parts []string
	for _, s := range []finding.Severity{finding.Error, finding.Warning, finding.Note} {
		switch k := n[s]; {
		case k == 1:
			parts = append(parts, "1 "+s.String())
		case k > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", k, s))
		}
	}
	if parts == nil {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

// A painter colours words on a terminal; colour never carries meaning alone.
type painter bool

func (on painter) severity(s finding.Severity) string {
	codes := map[finding.Severity]string{finding.Error: "31;1", finding.Warning: "33;1", finding.Note: "36"}
	return on.paint(codes[s], s.String()+":")
}

func (on painter) paint(code, s string) string {
	if !on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// painter decides about colour: --color, NO_COLOR, and whether stdout is a terminal.
func (p *program) painter(mode string) (painter, error) {
	switch mode {
	case "always":
		return true, nil
	case "never":
		return false, nil
	case "", "auto":
		return painter(p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb" && isTerminal(p.stdout)), nil
	}
	return false, usage("--color %s: auto, never or always", mode)
}

// visible shows a text from a certificate or a file on one line of a terminal: control characters, which could drive
// the terminal, and invalid UTF-8 are written as \xNN.
func visible(s string) string {
	clean := true
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		_, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1, unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			for _, c := range []byte(s[i : i+size]) {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		default:
			b.WriteString(s[i : i+size])
		}
	}
	return b.String()
}

// utf8Only writes what is no UTF-8 in a text of several lines as \xNN.
func utf8Only(s string) string {
	var b strings.Builder
	for i, r := range s {
		if _, size := utf8.DecodeRuneInString(s[i:]); r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[i])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// quote puts a name in double quotes, escapes and all.
func quote(s string) string { return fmt.Sprintf("%q", s) }

// shellQuote writes a word so that a shell reads it back.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
