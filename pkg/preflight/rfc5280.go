package preflight

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"sync"
	"time"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/chain"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Judge says what RFC 5280 says to the certificates of a prediction (package chain), each with the CA file and the revocation
// list of who is shown it. It changes no outcome: that is libvirt's. The zero value is ready, remembers its answers and may
// be shared by many daemons and several goroutines.
type Judge struct {
	// Strict makes errors of its refusals, libvirt's opinion aside. Otherwise there are findings where libvirt says
	// otherwise, and no others.
	Strict bool

	mu    sync.Mutex
	known map[[sha256.Size]byte]answer
	lists chain.Memory
}

// maxAnswers bounds what a Judge remembers; what comes later is judged every time.
const maxAnswers = 1 << 16

// An answer is a chain.Verdict without what it was found with, and where its subject stands.
type answer struct {
	chain.Verdict
	anchor bool // the subject is a CA of the CA file
}

// An Opinion is what RFC 5280 says to a certificate.
type Opinion struct {
	Accepted bool
	// Rule and Reason say why not: a rule of package chain, and half a sentence with the certificate's name.
	Rule, Reason string
}

// Opinions are those about the certificates of both ends; nil: that one was not shown, or nobody asked.
type Opinions struct{ Server, Client *Opinion }

// A trust is by what certificates are judged.
type trust struct {
	cas      []*certs.Certificate
	lists    []*crl.List
	ca, list string // the files
	digest   [sha256.Size]byte
}

func trustOf(c credentials) trust {
	t := trust{cas: c.cas, lists: c.lists, ca: c.caFile, list: c.listFile}
	h := sha256.New()
	for _, c := range c.cas {
		h.Write(digestOf(c.Raw))
	}
	h.Write([]byte{0})
	for _, l := range c.lists {
		h.Write(digestOf(l.Raw))
	}
	h.Sum(t.digest[:0])
	return t
}

func digestOf(b []byte) []byte {
	d := sha256.Sum256(b)
	return d[:]
}

// ask puts a question to RFC 5280, once.
func (j *Judge) ask(shown []*certs.Certificate, t trust, role certs.Role, at time.Time, memory *verify.Memory) answer {
	h := sha256.New()
	h.Write(t.digest[:])
	_ = binary.Write(h, binary.BigEndian, []int64{int64(role), at.UnixNano()})
	for _, c := range shown {
		h.Write(digestOf(c.Raw))
	}
	var key [sha256.Size]byte
	h.Sum(key[:0])
	j.mu.Lock()
	a, ok := j.known[key]
	j.mu.Unlock()
	if ok {
		return a
	}
	a.Verdict = chain.Validate(chain.Question{Certificates: shown, Anchors: t.cas, Lists: t.lists, Role: role, At: at, Signed: memory.Good, Memory: &j.lists})
	for _, c := range t.cas {
		a.anchor = a.anchor || a.Subject != nil && bytes.Equal(c.Raw, a.Subject.Raw)
	}
	a.Path = nil
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.known == nil {
		j.known = map[[sha256.Size]byte]answer{}
	}
	if len(j.known) < maxAnswers {
		j.known[key] = a
	}
	return a
}

func (a answer) opinion() *Opinion {
	return &Opinion{Accepted: a.Accepted, Rule: a.Rule, Reason: a.Text()}
}

// A remark is a finding about a file of the end whose certificate it is, or of the end that judges it.
type remark struct {
	finding.Finding
	ofJudge bool
}

// remark says where RFC 5280 does not agree with libvirt. refusals are for what libvirt refuses; trusting says that it does
// not judge at all, of which other findings speak.
func (j *Judge) remark(a answer, t trust, path string, refusals []finding.Finding, trusting bool) (r remark, ok bool) {
	if a.Accepted {
		if len(refusals) == 0 {
			return r, false
		}
		for _, f := range refusals {
			if !chain.Concerns(f.Rule) {
				return r, false
			}
		}
		return remark{Finding: chain.AcceptedFinding(path, refusals[0].Rule)}, true
	}
	if !j.Strict && (trusting || len(refusals) > 0) {
		return r, false
	}
	v := a.Verdict
	switch {
	case v.Rule == "rfc5280-revocation-unknown":
		// It is the list that lacks something, be it asked about one certificate or about a thousand.
		v.Subject, path, r.ofJudge = nil, t.list, true
	case a.anchor:
		path, r.ofJudge = t.ca, true
	}
	r.Finding, _ = v.Finding(path)
	if a.anchor {
		r.Remedy = "a new CA: virt-pki ca rotate, or virt-pki init"
	}
	if j.Strict {
		r.Severity, r.Effect = finding.Error, finding.RefusesPeer
	}
	return r, true
}

// rfc5280 adds what RFC 5280 says to the certificates that the two ends showed each other.
func (a *attempt) rfc5280(r handshake.Result, own credentials) {
	s := a.s
	j := s.d.Judge
	if j == nil || r.Outcome != finding.Connected && r.Outcome != finding.ClientRejectsServer && r.Outcome != finding.ServerRejectsClient {
		return
	}
	say := func(role certs.Role, shown []*certs.Certificate, owner, judge credentials, at time.Time, memory *verify.Memory,
		said []finding.Finding, trusting bool) *Opinion {
		if len(shown) == 0 {
			return nil
		}
		t := judge.trust()
		answer := j.ask(shown, t, role, at, memory)
		if x, ok := j.remark(answer, t, owner.pathOf(shown[0]), of(role, refusalsOf(said)), trusting); ok {
			a.remark(x, role)
		}
		return answer.opinion()
	}
	a.RFC5280.Server = say(certs.Server, r.Client.PeerChain, s.own, own, a.c.At, a.c.Memory, r.Client.Findings, a.u.NoVerify())
	if r.Outcome == finding.ClientRejectsServer {
		return // the daemon does not come to judge
	}
	a.RFC5280.Client = say(certs.Client, r.Server.PeerChain, own, s.own, s.d.At, s.d.Memory, r.Server.Findings, s.Conf.TLSNoVerifyCertificate)
}

// remark adds what RFC 5280 says of the certificate of role.
func (a *attempt) remark(r remark, role certs.Role) {
	a.Findings = append(a.Findings, r.Finding)
	a.beside = append(a.beside, Beside{Finding: r.Finding, OfServer: (role == certs.Server) != r.ofJudge})
}

// A Beside is what RFC 5280 says otherwise than libvirt, about a file of the server or of the client.
type Beside struct {
	finding.Finding
	OfServer bool
}

// Beside gives what RFC 5280 says otherwise than libvirt about each host's files, each once and what is among the host's Own not
// again.
func (m *Matrix) Beside() [][]finding.Finding {
	out := make([][]finding.Finding, len(m.Hosts))
	seen := make([]map[string]bool, len(m.Hosts))
	for i := range seen {
		seen[i] = map[string]bool{}
		for _, f := range m.Own[i] {
			seen[i][caseOf(f)] = true
		}
	}
	for _, c := range m.Cells {
		for _, b := range c.Beside {
			i := c.Client
			if b.OfServer {
				i = c.Server
			}
			if k := caseOf(b.Finding); !seen[i][k] {
				seen[i][k] = true
				out[i] = append(out[i], b.Finding)
			}
		}
	}
	return out
}

// ofOwn says what RFC 5280 says to an end's own certificates, by its own CA file and revocation list, where libvirt stops
// at them; of those that it takes its peers will speak.
func (j *Judge) ofOwn(c credentials, role certs.Role, at time.Time, memory *verify.Memory) []finding.Finding {
	if j == nil {
		return nil
	}
	t := c.trust()
	var out []finding.Finding
	for _, l := range c.identities {
		var refusals []finding.Finding
		if c.cause != nil {
			refusals = refusalsOf(c.findings)
		}
		x, ok := j.remark(j.ask(l.Chain, t, role, at, memory), t, l.Own.CertPath, refusals, false)
		if ok {
			out = append(out, x.Finding)
		}
	}
	return out
}

// refusalsOf gives the findings for which libvirt refuses.
func refusalsOf(fs []finding.Finding) []finding.Finding {
	var out []finding.Finding
	for _, f := range fs {
		if f.Severity == finding.Error && f.Effect != finding.NoEffect {
			out = append(out, f)
		}
	}
	return out
}

// of gives those findings of a session that are about the certificate of role.
func of(role certs.Role, fs []finding.Finding) []finding.Finding {
	var out []finding.Finding
	for _, f := range fs {
		if strings.HasPrefix(f.Subject, role.String()+" certificate ") {
			out = append(out, f)
		}
	}
	return out
}

// pathOf gives the file of an identity's certificate.
func (c credentials) pathOf(leaf *certs.Certificate) string {
	for _, l := range c.identities {
		if bytes.Equal(l.Chain[0].Raw, leaf.Raw) {
			return l.Own.CertPath
		}
	}
	return ""
}
