package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/preflight"
)

// What a matrix may have before its equal rows and columns are put together, and before there is no grid at all.
const (
	fullGrid     = 16
	largestGrid  = 40
	fewNames     = 4
	maxOneWay    = 5
	markProven   = "+"
	markJudged   = "o"
	markUnjudged = "?"
)

// junit gives the test cases of a JUnit report.
func (v *matrixView) junit() (cases []junitCase) {
	for i, h := range v.Hosts {
		if s := v.m.Servers[i]; s != nil {
			cases = append(cases, junitCase{class: "daemon", name: h.Name, ok: s.Starts, kind: s.Cause, message: s.LibvirtMessage})
		}
	}
	for _, c := range v.m.Cells {
		cases = append(cases, junitCase{class: "connection", name: v.Hosts[c.Client].Name + " -> " + v.Hosts[c.Server].Name,
			ok: c.Outcome == finding.Connected, kind: string(c.Outcome), message: c.Cause.Rule + ": " + c.Cause.Message, text: c.Cause.Remedy,
			unchecked: c.Unchecked})
	}
	return cases
}

func (p *program) printMatrix(v *matrixView, paint painter) {
	w := p.stdout
	m := v.m
	marks := v.marks()
	proven, judged, failing, unjudged := 0, 0, 0, 0
	for _, c := range m.Cells {
		switch {
		case c.Outcome == "":
			unjudged++
		case c.Outcome != finding.Connected:
			failing++
		case c.Proven:
			proven++
		default:
			judged++
		}
	}
	printGrid(w, m, marks, paint)
	legend := []string{}
	if proven > 0 {
		legend = append(legend, markProven+" would connect, proven by a TLS handshake")
	}
	if judged > 0 {
		legend = append(legend, markJudged+" would connect, judged without keys")
	}
	if unjudged > 0 {
		legend = append(legend, markUnjudged+" not judged")
	}
	if len(v.troubles) > 0 {
		legend = append(legend, "A... see below")
	}
	fmt.Fprintf(w, "%s\n", strings.Join(legend, "   "))
	for i, t := range v.troubles {
		printTrouble(w, m, trouble(i), t, connectionWords, paint)
	}
	var rest []finding.Finding
	for _, f := range v.Findings {
		if !v.told(f) {
			rest = append(rest, f)
		}
	}
	if len(rest) > 0 {
		fmt.Fprintln(w)
		p.printFindings(w, alike(rest), paint)
	}
	for _, u := range v.Unchecked {
		fmt.Fprintf(w, "not checked: %s\n", visible(u))
	}
	fmt.Fprintf(w, "\n%s, %s: %d would connect (%d proven, %d judged), %d would not", plural(len(m.Hosts), "host"),
		plural(len(m.Cells), "connection"), proven+judged, proven, judged, failing)
	if unjudged > 0 {
		fmt.Fprintf(w, ", %d not judged", unjudged)
	}
	fmt.Fprintln(w)
	p.printMigration(m)
	p.printMigrations(v.Migration, len(v.troubles), paint)
}

// told reports whether a trouble says a finding already: it is a case of it, or the same about the same file of another
// of its hosts.
func (v *matrixView) told(f finding.Finding) bool {
	troubles := v.troubles
	if v.Migration != nil {
		troubles = slices.Concat(troubles, v.Migration.troubles)
	}
	for _, t := range troubles {
		for _, k := range t.Cases {
			if k.Rule != f.Rule {
				continue
			}
			for _, h := range t.Hosts {
				if f.Subject == v.Hosts[h].Name+":"+k.Subject {
					return true
				}
			}
		}
	}
	return false
}

// alike puts findings together that say the same of several hosts.
func alike(fs []finding.Finding) []finding.Finding {
	type key struct{ rule, rest, message string }
	at := map[key]int{}
	more := map[int]int{}
	var out []finding.Finding
	for _, f := range fs {
		_, rest, _ := strings.Cut(f.Subject, ":")
		k := key{f.Rule, rest, f.Message}
		if i, ok := at[k]; ok {
			more[i]++
			continue
		}
		at[k] = len(out)
		out = append(out, f)
	}
	for i, n := range more {
		host, rest, _ := strings.Cut(out[i].Subject, ":")
		out[i].Subject = fmt.Sprintf("%s and %s:%s", host, plural(n, "other"), rest)
	}
	return out
}

// trouble names a trouble: A to Z, AA, ...
func trouble(i int) string {
	s := string(rune('A' + i%26))
	if i >= 26 {
		s = trouble(i/26-1) + s
	}
	return s
}

// printTrouble prints one cause with all that comes of it.
func printTrouble(w io.Writer, m *preflight.Matrix, mark string, t preflight.Trouble, words troubleWords, paint painter) {
	rule := t.Rule
	if rule == "" {
		rule = "no rule"
	}
	fmt.Fprintf(w, "\n%s  %s: %s\n", paint.paint("31;1", mark), visible(some(m, t.Hosts, false)), rule)
	for _, b := range t.Blocks {
		fmt.Fprintf(w, "    %-12s from %s to %s\n", b.Outcome, visible(some(m, b.Clients, true)), visible(some(m, b.Servers, true)))
	}
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(w, "    %-12s %s\n", label, visible(text))
		}
	}
	if c, ok := first(m, t); ok {
		words.said(c, line)
	}
	for i, k := range t.Cases {
		name := ""
		if len(t.Hosts) > 1 {
			name = m.Hosts[k.Host].Name + ": "
		}
		line("why", name+k.Message)
		if i == len(t.Cases)-1 || k.Remedy != t.Cases[i+1].Remedy {
			line("cure", k.Remedy)
		}
	}
	if n := len(t.Hosts) - len(t.Cases); n > 0 && len(t.Cases) > 0 {
		fmt.Fprintf(w, "    %-12s %s\n", "", "and so on for "+plural(n, "more host"))
	}
}

// first gives a trouble's first connection.
func first(m *preflight.Matrix, t preflight.Trouble) (preflight.Cell, bool) {
	b := t.Blocks[0]
	for _, c := range m.Cells {
		if c.Client == b.Clients[0] && c.Server == b.Servers[0] {
			return c, true
		}
	}
	return preflight.Cell{}, false
}

// some names hosts, not too many of them.
func some(m *preflight.Matrix, hosts []int, all bool) string {
	servers, clients := 0, 0
	for i, s := range m.Servers {
		if s != nil {
			servers++
		}
		if !m.Hosts[i].ServerOnly {
			clients++
		}
	}
	if all && len(hosts) > fewNames && (len(hosts) == clients || len(hosts) == servers) {
		return fmt.Sprintf("all %d", len(hosts))
	}
	text := namesOf(m, hosts)
	if len(text) > fewNames {
		return strings.Join(text[:fewNames-1], ", ") + fmt.Sprintf(" and %d more", len(text)-fewNames+1)
	}
	return strings.Join(text, ", ")
}

// marks gives what stands in the grid for each cell, by client and server.
func (v *matrixView) marks() map[[2]int]string {
	out := map[[2]int]string{}
	for _, c := range v.m.Cells {
		mark := markUnjudged
		switch {
		case c.Outcome == "":
		case c.Outcome != finding.Connected:
			mark = "!"
		case c.Proven:
			mark = markProven
		default:
			mark = markJudged
		}
		out[[2]int{c.Client, c.Server}] = mark
	}
	for i, t := range v.troubles {
		for _, b := range t.Blocks {
			for _, c := range b.Clients {
				for _, s := range b.Servers {
					out[[2]int{c, s}] = trouble(i)
				}
			}
		}
	}
	return out
}

// A group is hosts with equal rows or columns.
type group struct{ hosts []int }

// groups puts hosts together whose marks are equal, in the order of the first of each.
func groups(hosts, across []int, mark func(host, other int) string) []group {
	at := map[string]int{}
	var out []group
	for _, h := range hosts {
		var key strings.Builder
		for _, o := range across {
			key.WriteString(mark(h, o) + " ")
		}
		i, ok := at[key.String()]
		if !ok {
			i = len(out)
			at[key.String()] = i
			out = append(out, group{})
		}
		out[i].hosts = append(out[i].hosts, h)
	}
	return out
}

// gridOf gives rows and columns of the grid: one for each host, or where there are many, for those that fare alike.
func gridOf(m *preflight.Matrix, marks map[[2]int]string) (rows, columns []group) {
	var clients, servers []int
	for i, h := range m.Hosts {
		if !h.ServerOnly {
			clients = append(clients, i)
		}
		if m.Servers[i] != nil {
			servers = append(servers, i)
		}
	}
	if len(clients) > fullGrid {
		return groups(clients, servers, func(c, s int) string { return marks[[2]int{c, s}] }),
			groups(servers, clients, func(s, c int) string { return marks[[2]int{c, s}] })
	}
	for _, c := range clients {
		rows = append(rows, group{[]int{c}})
	}
	for _, s := range servers {
		columns = append(columns, group{[]int{s}})
	}
	return rows, columns
}

// labelOf names the hosts of a group.
func labelOf(m *preflight.Matrix, g group) string {
	if len(g.hosts) == 1 {
		return m.Hosts[g.hosts[0]].Name
	}
	return fmt.Sprintf("%s (%d)", some(m, g.hosts, false), len(g.hosts))
}

// printGrid prints clients down and servers across.
func printGrid(w io.Writer, m *preflight.Matrix, marks map[[2]int]string, paint painter) {
	rows, columns := gridOf(m, marks)
	if len(rows) > largestGrid || len(columns) > largestGrid {
		fmt.Fprintf(w, "%d kinds of clients and %d of servers are too many for a table; --json has every connection.\n", len(rows), len(columns))
		return
	}
	width, wide := len("client"), 0
	for i, g := range columns {
		wide = max(wide, len(fmt.Sprint(i+1)))
		fmt.Fprintf(w, "server %d: %s\n", i+1, visible(labelOf(m, g)))
	}
	for _, g := range rows {
		width = max(width, utf8.RuneCountInString(visible(labelOf(m, g))))
	}
	for _, s := range marks {
		wide = max(wide, len(s))
	}
	pad := func(s string, n int) string { return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) }
	line := "\n" + pad("client", width)
	for i := range columns {
		line += "  " + pad(fmt.Sprint(i+1), wide)
	}
	fmt.Fprintln(w, strings.TrimRight(line, " "))
	for _, r := range rows {
		line := pad(visible(labelOf(m, r)), width)
		for j, c := range columns {
			mark := marks[[2]int{r.hosts[0], c.hosts[0]}]
			code := "31;1"
			if mark == markProven || mark == markJudged {
				code = "32"
			}
			line += "  " + paint.paint(code, mark)
			if j < len(columns)-1 {
				line += strings.Repeat(" ", wide-len(mark))
			}
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintln(w)
}

// printMigration says between which servers guests can migrate: the source connects to the target, and back.
func (p *program) printMigration(m *preflight.Matrix) {
	ok := map[[2]int]bool{}
	for _, c := range m.Cells {
		ok[[2]int{c.Client, c.Server}] = c.Outcome == finding.Connected
	}
	pairs, both := 0, 0
	var oneWay []string
	for a := range m.Hosts {
		for b := a + 1; b < len(m.Hosts); b++ {
			if m.Servers[a] == nil || m.Servers[b] == nil || m.Hosts[a].ServerOnly || m.Hosts[b].ServerOnly {
				continue
			}
			pairs++
			there, back := ok[[2]int{a, b}], ok[[2]int{b, a}]
			switch {
			case there && back:
				both++
			case there:
				oneWay = append(oneWay, m.Hosts[a].Name+" -> "+m.Hosts[b].Name)
			case back:
				oneWay = append(oneWay, m.Hosts[b].Name+" -> "+m.Hosts[a].Name)
			}
		}
	}
	if pairs == 0 {
		return
	}
	fmt.Fprintf(p.stdout, "migration: %d of %s of servers reach each other", both, plural(pairs, "pair"))
	if n := len(oneWay); n > 0 {
		text := oneWay[:min(n, maxOneWay)]
		fmt.Fprintf(p.stdout, ", %d only one way: %s", n, visible(strings.Join(text, ", ")))
		if n > maxOneWay {
			fmt.Fprint(p.stdout, ", ...")
		}
	}
	fmt.Fprintln(p.stdout)
}
