package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) explainCommand() *cli.Command {
	return &cli.Command{
		Name:      "explain",
		Category:  "look",
		Usage:     "a rule, or the rules behind an error message of libvirt, QEMU or GnuTLS",
		ArgsUsage: "RULE | MESSAGE",
		Description: `EXAMPLES
   virt-pki explain no-key-encipherment
   virt-pki explain "The server certificate /etc/pki/libvirt/servercert.pem has expired"
   virt-pki explain --list

EXIT STATUS
   0 explained   1 no rule fits   2 wrong usage`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "list", Usage: "list all rules"},
			jsonFlag(), quietFlag(),
		},
		Action: p.explain,
	}
}

func (p *program) explain(c *cli.Context) error {
	cat, err := catalogue()
	if err != nil {
		return err
	}
	if c.Bool("list") {
		if c.Bool("json") {
			return p.printExplained(nil, cat.Rules())
		}
		if c.Bool("quiet") {
			return nil
		}
		for _, r := range cat.Rules() {
			fmt.Fprintf(p.stdout, "%-36s %-8s %s\n", r.ID, r.Severity, r.Title)
		}
		return nil
	}
	if !c.Args().Present() {
		return usage("explain needs a rule or a message").hint("virt-pki explain --list lists the rules")
	}
	text := strings.Join(c.Args().Slice(), " ")
	var rules []finding.Rule
	var message *messageView
	if r, ok := cat.Rule(text); ok {
		rules = []finding.Rule{r}
	} else {
		message, rules = explainMessage(cat, text)
	}
	switch {
	case c.Bool("json"):
		err = p.printExplained(message, rules)
	case c.Bool("quiet"):
	case message != nil && (len(message.Causes) > 1 || len(rules) == 0):
		p.printMessage(*message)
	default:
		for i, r := range rules {
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			p.printRule(r)
		}
	}
	if message != nil {
		return err
	}
	if err == nil && len(rules) == 0 {
		fmt.Fprintf(p.stderr, "virt-pki: error: no rule is called %q, and no message of a rule stands in it\n", text)
		var ids []string
		for _, r := range cat.Rules() {
			ids = append(ids, r.ID)
		}
		if near := nearest(text, ids); near != "" {
			p.hint("did you mean %s?", near)
		}
		p.hint("virt-pki explain --list lists the rules")
		return status(exitFindings)
	}
	return err
}

// A messageView is what a message comes from.
type messageView struct {
	// Text says what it means, where that is not the rule's.
	Text string `json:"text,omitempty"`
	// Causes are in the order of likelihood.
	Causes []causeView `json:"causes"`
}

// A causeView is one cause of a message, with the command that tells it from the others.
type causeView struct {
	Rule    string `json:"rule,omitempty"`
	Cause   string `json:"cause"`
	Command string `json:"command"`
}

// explainMessage finds what a message comes from: first what the list of symptoms says, then the rules whose message it is.
// nil: nothing is known of it.
func explainMessage(cat finding.Catalogue, text string) (*messageView, []finding.Rule) {
	rules := cat.ByMessage(text)
	m := &messageView{Causes: []causeView{}}
	said := map[string]bool{}
	var ordered []finding.Rule
	if s, ok := symptomOf(text); ok {
		m.Text = s.text
		for _, c := range s.causes {
			v := causeView{c.rule, c.why, c.tell}
			if r, ok := cat.Rule(c.rule); ok {
				ordered = append(ordered, r)
				said[c.rule] = true
				if v.Cause == "" {
					v.Cause = faultOf(r.ID, r.Title)
				}
			}
			m.Causes = append(m.Causes, v)
		}
	}
	for _, r := range rules {
		if !said[r.ID] {
			ordered = append(ordered, r)
			m.Causes = append(m.Causes, causeView{r.ID, faultOf(r.ID, r.Title), tells(r.ID)})
		}
	}
	switch {
	case len(m.Causes) > 0:
	case strings.Contains(text, virshPreface):
		m.Text = "virsh says this of every connection that fails. The reason stands on the line behind it."
		m.Causes = append(m.Causes, causeView{"", "put that line to virt-pki explain, or try the URI", tellClient})
	default:
		return nil, nil
	}
	return m, ordered
}

// virshPreface is what virsh says before any reason.
const virshPreface = "failed to connect to the hypervisor"

// symptomOf gives the symptom whose message stands in a text, the most specific.
func symptomOf(text string) (symptom, bool) {
	var rules []finding.Rule
	for i, s := range symptoms {
		rules = append(rules, finding.Rule{ID: strconv.Itoa(i), LibvirtMessages: s.messages})
	}
	cat, err := finding.NewCatalogue(rules)
	if err != nil {
		return symptom{}, false
	}
	for _, r := range cat.ByMessage(text) {
		if i, err := strconv.Atoi(r.ID); err == nil {
			return symptoms[i], true
		}
	}
	return symptom{}, false
}

// tells gives the command that finds a rule.
func tells(rule string) string {
	has := func(rules []finding.Rule) bool {
		return slices.ContainsFunc(rules, func(r finding.Rule) bool { return r.ID == rule })
	}
	switch {
	case strings.HasPrefix(rule, "qemu-"):
		return tellQEMU
	case has(conf.Rules()):
		return tellConf
	case has(uri.Rules()):
		return "virt-pki uri URI"
	case has(priority.Rules()):
		return "virt-pki priority STRING"
	case has(verify.Rules()), has(layout.Rules()):
		return tellOwn
	case has(preflight.Rules()):
		return tellBoth
	}
	return tellClient
}

// printMessage prints what a message comes from.
func (p *program) printMessage(m messageView) {
	if m.Text != "" {
		fmt.Fprintf(p.stdout, "%s\n\n", wrap(m.Text, 78, ""))
	}
	what := "It comes from this:"
	if len(m.Causes) > 1 {
		what = fmt.Sprintf("It comes from one of %d causes, the likeliest first:", len(m.Causes))
	}
	fmt.Fprintln(p.stdout, what)
	for i, c := range m.Causes {
		text := c.Cause
		if c.Rule != "" {
			text += " [" + c.Rule + "]"
		}
		fmt.Fprintf(p.stdout, "%3d. %s\n     tell by: %s\n", i+1, strings.TrimSpace(wrap(text, 73, "     ")), c.Command)
	}
	for _, c := range m.Causes {
		if c.Rule != "" {
			fmt.Fprintf(p.stdout, "\nvirt-pki explain %s, or another name in brackets, says more.\n", c.Rule)
			break
		}
	}
}

// printExplained prints rules, and what a message comes from.
func (p *program) printExplained(m *messageView, rules []finding.Rule) error {
	if rules == nil {
		rules = []finding.Rule{}
	}
	return p.printJSON(struct {
		Schema  int            `json:"schema"`
		Rules   []finding.Rule `json:"rules"`
		Message *messageView   `json:"message,omitempty"`
	}{1, rules, m})
}

// printRule prints a rule as a short page.
func (p *program) printRule(r finding.Rule) {
	w := p.stdout
	fmt.Fprintf(w, "%s - %s\n\n%s\n", r.ID, r.Title, wrap(r.Text, 78, "  "))
	fmt.Fprintf(w, "\n  severity  %s\n", r.Severity)
	if e := effectText(r.ID, r.Effect); e != "" {
		fmt.Fprintf(w, "  effect    %s%s\n", e, versionsText(finding.Finding{Rule: r.ID, Since: r.Since, Until: r.Until}))
	}
	for i, m := range r.LibvirtMessages {
		label := whose(r.ID)
		if i > 0 {
			label = "      or"
		}
		fmt.Fprintf(w, "  %-9s %s\n", label, m)
	}
	for _, l := range []struct{ label, text string }{{"good", r.Good}, {"bad", r.Bad}, {"cure", r.Remedy}, {"source", r.Source}} {
		if l.text != "" {
			fmt.Fprintf(w, "  %-9s %s\n", l.label, strings.TrimSpace(wrap(utf8Only(l.text), 66, "            ")))
		}
	}
	if len(r.DependsOn) > 0 {
		fmt.Fprintf(w, "  follows   %s\n", strings.Join(r.DependsOn, ", "))
	}
}

// wrap breaks a text at blanks into lines of at most width characters behind indent.
func wrap(s string, width int, indent string) string {
	var b strings.Builder
	n := 0
	for _, word := range strings.Fields(s) {
		switch {
		case n == 0:
			b.WriteString(indent)
		case n+1+len(word) > width:
			b.WriteString("\n" + indent)
			n = 0
		default:
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String()
}
