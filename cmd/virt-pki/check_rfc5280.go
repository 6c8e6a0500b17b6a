package main

import (
	"bytes"
	"slices"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/chain"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A judgement is what is said to one certificate by those who were asked.
type judgement struct {
	Cert string `json:"cert"`
	Role string `json:"role"` // server, client or any
	// Libvirt is what its owner's libvirt does with the files, GnuTLS what a peer's does that has the same CA file and
	// revocation list, with the priority NORMAL and without libvirt's own rules.
	Libvirt *saying `json:"libvirt,omitempty"`
	QEMU    *saying `json:"qemu,omitempty"` // in libvirt's place, of QEMU's directories
	GnuTLS  *saying `json:"gnutls,omitempty"`
	RFC5280 *saying `json:"rfc5280,omitempty"`
}

// A saying is a verdict with its reason.
type saying struct {
	Verdict string `json:"verdict"` // accept, reject
	Reason  string `json:"reason,omitempty"`
	Rule    string `json:"rule,omitempty"`
}

// say gives the saying of a refusal, or of none.
func say(f finding.Finding, refused bool) *saying {
	if !refused {
		return &saying{Verdict: "accept"}
	}
	return &saying{"reject", f.Message, f.Rule}
}

// judge puts an end's files to those who are asked, and adds what they say.
func (v *checkView) judge(s fileSet, o checkOptions) {
	var fs []finding.Finding
	if o.rules != "rfc5280" {
		fs = s.judge(o)
		v.Findings = append(v.Findings, fs...)
	}
	for _, pair := range s.pairs() {
		one := s
		one.cert, one.key = pair.Cert, pair.Key
		v.judgeCertificate(one, fs, o)
	}
}

// judgeCertificate is judge for one identity; fs is what libvirt or QEMU finds in the whole set.
func (v *checkView) judgeCertificate(s fileSet, fs []finding.Finding, o checkOptions) {
	j := judgement{Cert: s.cert.Path, Role: "any"}
	if s.role != 0 {
		j.Role = s.role.String()
	}
	defer func() { v.Judgements = append(v.Judgements, j) }()
	owner := say(finding.Finding{}, false)
	if i := slices.IndexFunc(fs, func(f finding.Finding) bool {
		return refuses(f) && slices.Contains([]string{s.cert.Path, s.key.Path, s.ca.Path, s.crl.Path}, f.Subject)
	}); i >= 0 {
		owner = say(fs[i], true)
	}
	switch {
	case o.rules == "rfc5280":
	case s.qemu:
		j.QEMU = owner
	default:
		j.Libvirt = owner
	}
	if o.rules == "libvirt" || s.cert.Err != nil {
		return
	}
	q, bad, unreadable := s.question(o)
	if unreadable {
		j.RFC5280 = say(bad, true)
		if o.rules == "rfc5280" {
			v.Findings = append(v.Findings, asError(bad))
		}
		return
	}
	// With the same files at the other end: GnuTLS's own answer.
	got := verify.VerifyPeer(q.Certificates, q.Anchors, q.Lists, o.at)
	if p, ok := got.Main(); ok {
		j.GnuTLS = &saying{"reject", got.Status.Reason() + " " + p.Text, p.Rule}
	} else {
		j.GnuTLS = say(finding.Finding{}, false)
	}
	verdict := chain.Validate(q)
	f, refused := verdict.Finding(s.subject(verdict, q))
	j.RFC5280 = &saying{"accept", verdict.Text(), verdict.Rule}
	if refused {
		j.RFC5280.Verdict = "reject"
	}
	switch {
	case o.rules == "rfc5280":
		if refused {
			v.Findings = append(v.Findings, asError(f))
		}
	case refused && s.presented():
		v.Findings = append(v.Findings, asError(f))
	case refused && owner.Verdict == "accept":
		v.Findings = append(v.Findings, f)
	case !refused && owner.Verdict == "reject" && chain.Concerns(owner.Rule):
		v.Findings = append(v.Findings, chain.AcceptedFinding(s.cert.Path, owner.Rule))
	}
}

// refuses reports whether a finding is of something that keeps the files from working.
func refuses(f finding.Finding) bool {
	switch f.Effect {
	case finding.RefusesToStart, finding.RefusesPeer, finding.RefusesOwnCertificate:
		return f.Severity == finding.Error
	}
	return false
}

func asError(f finding.Finding) finding.Finding {
	f.Severity, f.Effect = finding.Error, finding.RefusesPeer
	return f
}

// question reads the files for RFC 5280. What cannot be read is a refusal.
func (s fileSet) question(o checkOptions) (q chain.Question, bad finding.Finding, unreadable bool) {
	q = chain.Question{Role: s.role, At: o.at}
	refuse := func(file verify.File, err error) (chain.Question, finding.Finding, bool) {
		f, _ := chain.Verdict{Rule: "rfc5280-no-path", Reason: "the file cannot be read: " + err.Error()}.Finding(file.Path)
		return q, f, true
	}
	var err error
	for _, f := range []verify.File{s.ca, s.cert} {
		if f.Err != nil {
			return refuse(f, f.Err)
		}
	}
	// An empty CA file is one that trusts nobody.
	if bytes.Contains(s.ca.Data, []byte("-----BEGIN")) {
		if q.Anchors, err = certs.ImportPEMList(s.ca.Data, 0); err != nil {
			return refuse(s.ca, err)
		}
	}
	if q.Certificates, err = certs.ImportPEMList(s.cert.Data, 0); err != nil {
		return refuse(s.cert, err)
	}
	if s.crl.Path != "" && !s.crl.Missing() {
		err := s.crl.Err
		if err == nil {
			q.Lists, err = crl.ParsePEM(s.crl.Data)
		}
		if err != nil {
			return refuse(s.crl, err)
		}
	}
	return q, bad, false
}

// subject gives the file that a verdict speaks of.
func (s fileSet) subject(v chain.Verdict, q chain.Question) string {
	switch {
	case v.Rule == "rfc5280-revocation-unknown":
		return s.crl.Path
	case v.Subject != nil && slices.Contains(q.Anchors, v.Subject):
		return s.ca.Path
	}
	return s.cert.Path
}

// rulesFlag is --rules of check and preflight.
func rulesFlag() cli.Flag {
	return &cli.StringFlag{Name: "rules", Value: "both", Usage: "`RULES`: whose verdict is wanted: libvirt, rfc5280 or both"}
}

// whoseRules reads --rules: libvirt, rfc5280 or both; libvirt for a command that has no such option.
func whoseRules(c *cli.Context) (string, error) {
	switch r := c.String("rules"); r {
	case "":
		return "libvirt", nil
	case "libvirt", "rfc5280", "both":
		return r, nil
	default:
		return "", usage("--rules %s: libvirt, rfc5280 or both", r)
	}
}

// judgeOf makes the judge of --rules; nil: only libvirt is asked.
func judgeOf(c *cli.Context) (*preflight.Judge, error) {
	r, err := whoseRules(c)
	if err != nil || r == "libvirt" {
		return nil, err
	}
	return &preflight.Judge{Strict: r == "rfc5280"}, nil
}

// opinions are what RFC 5280 says to the certificates of a connection.
type opinions struct {
	Server *saying `json:"server,omitempty"`
	Client *saying `json:"client,omitempty"`
}

// opinionsOf gives nil where it was not asked.
func opinionsOf(o preflight.Opinions) *opinions {
	if o.Server == nil && o.Client == nil {
		return nil
	}
	one := func(o *preflight.Opinion) *saying {
		switch {
		case o == nil:
			return nil
		case o.Accepted:
			return &saying{Verdict: "accept"}
		}
		return &saying{"reject", o.Reason, o.Rule}
	}
	return &opinions{one(o.Server), one(o.Client)}
}
