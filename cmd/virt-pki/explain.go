package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
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
			jsonFlag(),
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
			return p.printRules(cat.Rules())
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
	if r, ok := cat.Rule(text); ok {
		rules = []finding.Rule{r}
	} else {
		rules = cat.ByMessage(text)
	}
	if c.Bool("json") {
		err = p.printRules(rules)
	} else {
		for i, r := range rules {
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			p.printRule(r)
		}
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

func (p *program) printRules(rules []finding.Rule) error {
	if rules == nil {
		rules = []finding.Rule{}
	}
	return p.printJSON(struct {
		Schema int            `json:"schema"`
		Rules  []finding.Rule `json:"rules"`
	}{1, rules})
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
			fmt.Fprintf(w, "  %-9s %s\n", l.label, strings.TrimSpace(wrap(l.text, 66, "            ")))
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
