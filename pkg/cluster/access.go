package cluster

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

// ruleKeptOut is about allow lists in a cluster file.
var ruleKeptOut = finding.Rule{
	ID:       "cluster-client-kept-out",
	Title:    "An allow list keeps out a client that it is meant for",
	Severity: finding.Error,
	Effect:   finding.RefusesPeer,
	Text: "A list in the cluster file names clients that must be let in, and none of its patterns matches the name in the " +
		"certificate that such a client gets. A daemon with this tls_allowed_dn_list would close the connection after the " +
		"handshake. The name is compared letter by letter, RDNs in the order in which virt-pki query-dn prints them.",
	Remedy: "write the name into the list's patterns as it is printed here",
	Good:   `patterns = ["O=Example,CN=admin"] and a client with the subject O=Example,CN=admin`,
	Bad:    `patterns = ["CN=admin,O=Example"] and a client with the subject O=Example,CN=admin`,
	Source: "libvirt virNetTLSContextCheckCertDN; GLib g_pattern_match_simple",
}

// Rules gives the rules of this package.
func Rules() []finding.Rule { return []finding.Rule{ruleKeptOut} }

// access judges the allow lists.
func (d *comparison) access() {
	judged := map[string]bool{}
	for _, a := range d.Access {
		if judged[a.List] {
			continue
		}
		judged[a.List] = true
		var hosts []string
		for _, b := range d.Access {
			if b.List == a.List {
				hosts = append(hosts, b.Host)
			}
		}
		for _, client := range a.Clients {
			d.judgeAccess(a, client, hosts)
		}
	}
}

func (d *comparison) judgeAccess(a Access, client string, hosts []string) {
	for _, m := range d.Members {
		if m.Name != client {
			continue
		}
		o, err := d.changes.spec.order(want{member: m, role: certs.Client})
		if err != nil {
			continue
		}
		subject, err := o.Subject.Text()
		if err != nil {
			continue
		}
		list, err := dnmatch.NewList(a.Patterns)
		if err != nil {
			continue
		}
		decision := list.Decide(subject)
		if decision.Allowed {
			continue
		}
		message := fmt.Sprintf("the list %q would keep out %q", a.List, subject)
		if decision.Aborts {
			message = fmt.Sprintf("the list %q would end the daemon when %q connects", a.List, subject)
		}
		f := ruleKeptOut.Finding(fmt.Sprintf("%s:%d", d.File, d.Line(client)), message+", on "+hint.Few(hosts)+reasonOf(decision.Reason))
		f.Remedy = fmt.Sprintf("add the pattern %q to [dn_lists.%s]", decision.Suggestion, a.List)
		d.changes.Findings = append(d.changes.Findings, f)
	}
}

func reasonOf(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
