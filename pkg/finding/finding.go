package finding

import "fmt"

// Severity says how much a finding matters.
type Severity int

// The severities, least first.
const (
	// Note is worth knowing.
	Note Severity = iota + 1
	// Warning works today and will bite.
	Warning
	// Error means that libvirt refuses, or that security is lost.
	Error
)

var severityNames = [...]string{Note: "note", Warning: "warning", Error: "error"}

// String gives the severity's name as in JSON.
func (s Severity) String() string {
	if s < Note || s > Error {
		return fmt.Sprintf("severity(%d)", int(s))
	}
	return severityNames[s]
}

// MarshalText gives the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (s *Severity) UnmarshalText(b []byte) error {
	v, err := ParseSeverity(string(b))
	if err == nil {
		*s = v
	}
	return err
}

// ParseSeverity reads note, warning or error.
func ParseSeverity(s string) (Severity, error) {
	for v := Note; v <= Error; v++ {
		if severityNames[v] == s {
			return v, nil
		}
	}
	return 0, fmt.Errorf("no severity %q: note, warning or error", s)
}

// Effect is what libvirt (or QEMU) does about a thing.
type Effect string

// The effects.
const (
	RefusesToStart        Effect = "refuses-to-start"        // the daemon ends with an error
	RefusesPeer           Effect = "refuses-peer"            // the other end of a connection is turned away
	RefusesOwnCertificate Effect = "refuses-own-certificate" // a client stops before any traffic
	Warns                 Effect = "warns"                   // a line in a log, nothing else
	Ignores               Effect = "ignores"                 // silently without effect
	NoEffect              Effect = "none"                    // libvirt does not care, an administrator should
)

// A Finding is one case of a rule.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Effect   Effect   `json:"effect"`
	// Subject is what the finding is about: file:line, a certificate's file, a host, a URI.
	Subject string `json:"subject"`
	// Message is one sentence with what is there and what should be.
	Message string `json:"message"`
	// Remedy is a command or an edit that can be typed; empty when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
	// LibvirtMessage is the exact text that libvirt prints or logs for this, where there is one.
	LibvirtMessage string `json:"libvirt_message,omitempty"`
	// Since and Until bound the libvirt versions for which it holds: since is the first, until the first that no longer
	// does. Empty: no bound. Those of a rule "qemu-..." are QEMU's versions.
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	// Evidence holds what the verdict rests on, by name (a date, a mode, a fingerprint).
	Evidence map[string]string `json:"evidence,omitempty"`
}

// A Rule is one demand on a PKI, described as data.
type Rule struct {
	// ID is kebab-case and never changes; it holds no severity.
	ID       string   `json:"id"`
	Title    string   `json:"title"`
	Severity Severity `json:"severity"`
	Effect   Effect   `json:"effect"`
	// Text says in a few sentences what libvirt does and why it matters.
	Text string `json:"text"`
	// LibvirtMessages are the texts of libvirt, QEMU or GnuTLS for this, old and new wordings, with {words} in braces
	// for the parts that vary.
	LibvirtMessages []string `json:"libvirt_messages,omitempty"`
	// Remedy says what cures it; a command where one can be typed.
	Remedy string `json:"remedy,omitempty"`
	// Good and Bad describe a sample that satisfies and one that violates the rule.
	Good string `json:"good,omitempty"`
	Bad  string `json:"bad,omitempty"`
	// Since and Until are as in Finding.
	Since string `json:"since,omitempty"`
	Until string `json:"until,omitempty"`
	// Source names the libvirt function, RFC section or man page that the rule follows.
	Source string `json:"source"`
	// DependsOn names rules that are causes of this one: where one of them is found, this one is a consequence and is
	// not reported for the same subject.
	DependsOn []string `json:"depends_on,omitempty"`
}

// Finding starts a finding of the rule: identity, severity, effect, remedy and versions are the rule's.
func (r Rule) Finding(subject, message string) Finding {
	return Finding{Rule: r.ID, Severity: r.Severity, Effect: r.Effect, Subject: subject, Message: message,
		Remedy: r.Remedy, Since: r.Since, Until: r.Until}
}

// Worst gives the highest severity in fs, 0 when there is none.
func Worst(fs []Finding) Severity {
	var w Severity
	for _, f := range fs {
		w = max(w, f.Severity)
	}
	return w
}
