package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/ca"
)

func (p *program) printStage(v rotationView) {
	w := p.stdout
	would := ""
	if v.DryRun {
		would = "would be "
	}
	switch *v.Stage {
	case string(ca.TrustBoth):
		if v.New != nil {
			fmt.Fprintf(w, "trust: the new CA %s, until %s, beside the old one, until %s\n", visible(v.New.DN), date(v.New.NotAfter), date(v.Old.NotAfter))
		} else {
			fmt.Fprintf(w, "trust: a new CA %sadded beside %s, until %s\n", would, visible(v.Old.DN), date(v.Old.NotAfter))
		}
	case string(ca.IssueNew):
		fmt.Fprintf(w, "issue: the new CA %s %sthe one that issues\n", visible(v.New.DN), strings.TrimSpace(map[bool]string{true: "would be", false: "is"}[v.DryRun])+" ")
	case string(ca.SwitchOver):
		fmt.Fprintf(w, "switch: %s %sreplaced\n", plural(len(v.Renewed), "certificate"), would)
	case string(ca.PruneOld):
		fmt.Fprintf(w, "prune: the old CA %staken out of %s\n", would, plural(len(v.Changed), "file"))
	default:
		fmt.Fprintf(w, "abort: the new CA %staken away\n", would)
	}
	const most = 12
	for i, f := range v.Changed {
		if i == most && len(v.Changed) > most+1 {
			fmt.Fprintf(w, "  ... and %d more\n", len(v.Changed)-most)
			break
		}
		fmt.Fprintf(w, "  %s\n", f)
	}
	for i, n := range v.Renewed {
		if i == most && len(v.Renewed) > most+1 {
			fmt.Fprintf(w, "  ... and %d more\n", len(v.Renewed)-most)
			break
		}
		fmt.Fprintf(w, "  %s (%s): until %s, was %s\n", strings.TrimSpace(n.Role+" "+visible(n.Name)), n.Layout, date(n.NotAfter), date(n.OldEnd))
	}
	if v.Proof != nil {
		fmt.Fprintf(w, "proven by %s in memory, old and new together, under libvirt %s\n", plural(v.Proof.Handshakes, "handshake"), list(v.Proof.Libvirt))
	}
	if v.Retired != nil {
		fmt.Fprintf(w, "the rotation is over; the old CA and its key are kept in %s\n", *v.Retired)
	}
	if len(v.Todo) > 0 {
		fmt.Fprintf(w, "\nnext:\n")
		for _, n := range v.Todo {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
}

// printLacks says on standard error what keeps a stage from being complete.
func (p *program) printLacks(lacks []lackView) {
	for _, l := range lacks {
		p.warn("%s: %s", visible(l.Where), l.What)
	}
	if slices.ContainsFunc(lacks, func(l lackView) bool { return l.Unseen }) {
		p.hint("name the directories with --out, --pkipath or --root; who has it already, elsewhere: --by-hand NAME; who is gone: virt-pki revoke NAME")
	}
}

func (p *program) printRotationStatus(v rotationView) {
	w := p.stdout
	if !v.UnderWay {
		fmt.Fprintf(w, "no rotation is under way; the CA %s ends on %s\n", visible(v.Old.DN), date(v.Old.NotAfter))
		return
	}
	fmt.Fprintf(w, "old CA  %s, until %s, key %.8s\n", visible(v.Old.DN), date(v.Old.NotAfter), v.Old.ID)
	fmt.Fprintf(w, "new CA  %s, until %s, key %.8s\n", visible(v.New.DN), date(v.New.NotAfter), v.New.ID)
	state := "not complete"
	if v.Done {
		state = "complete"
	}
	fmt.Fprintf(w, "stage   %s, %s\n", *v.Stage, state)
	if v.NextStage != nil {
		fmt.Fprintf(w, "next    virt-pki ca rotate %s ...\n", *v.NextStage)
	}
	for _, place := range v.Places {
		trust := map[[2]bool]string{{true, true}: "both CAs", {true, false}: "the old CA only", {false, true}: "the new CA only", {false, false}: "neither CA"}[[2]bool{place.TrustsOld, place.TrustsNew}]
		from := []string{}
		if len(place.OfOld) > 0 {
			from = append(from, strings.Join(place.OfOld, ", ")+" of the old")
		}
		if len(place.OfNew) > 0 {
			from = append(from, strings.Join(place.OfNew, ", ")+" of the new")
		}
		if len(place.Revoked) > 0 {
			from = append(from, strings.Join(place.Revoked, ", ")+" of the old, revoked")
		}
		fmt.Fprintf(w, "  %s: trusts %s", place.File, trust)
		if len(from) > 0 {
			fmt.Fprintf(w, "; certificates: %s", strings.Join(from, "; "))
		}
		fmt.Fprintln(w)
	}
	for _, l := range v.Lacks {
		fmt.Fprintf(w, "lacks   %s: %s\n", visible(l.Where), l.What)
	}
}
