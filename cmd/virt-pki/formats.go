package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
)

// The formats in which commands that judge can answer, besides text.
const (
	formatText  = "text"
	formatJSON  = "json"
	formatJUnit = "junit"
	formatSARIF = "sarif"
)

func formatFlag() cli.Flag {
	return &cli.StringFlag{Name: "format", Value: formatText, Usage: "`FORMAT` of the answer: text, json, junit (test cases), sarif (findings)"}
}

// outputFormat reads --format and --json.
func outputFormat(c *cli.Context) (string, error) {
	f := c.String("format")
	if c.Bool("json") {
		if c.IsSet("format") && f != formatJSON {
			return "", usage("--json and --format %s exclude each other", f)
		}
		return formatJSON, nil
	}
	switch f {
	case formatText, formatJSON, formatJUnit, formatSARIF:
		return f, nil
	}
	return "", usage("--format %s: text, json, junit or sarif", f)
}

// showAs prints preflight's answer in the format asked for, see show.
func (p *program) showAs(c *cli.Context, format string, v any, fs []finding.Finding, cases func() []junitCase, text func()) error {
	switch format {
	case formatJSON:
		return p.printJSON(v)
	case formatSARIF:
		return p.printSARIF(fs)
	case formatJUnit:
		return p.printJUnit("preflight", cases())
	}
	return p.show(c, v, text)
}

// A junitCase is one test case of a JUnit report.
type junitCase struct {
	class, name         string
	ok                  bool
	kind, message, text string
	unchecked           []string
}

// printJUnit writes a JUnit report, as CI systems read it. What could not be checked is a skipped case, not a passed one.
func (p *program) printJUnit(suite string, cases []junitCase) error {
	type outcome struct {
		Type    string `xml:"type,attr,omitempty"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		Failure *outcome `xml:"failure"`
		Skipped *outcome `xml:"skipped"`
	}
	report := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Skipped  int        `xml:"skipped,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "virt-pki " + suite}
	for _, c := range cases {
		t := testcase{Class: suite + "." + c.class, Name: visible(c.name)}
		report.Tests++
		switch {
		case !c.ok:
			report.Failures++
			t.Failure = &outcome{c.kind, visible(c.message), visible(c.text)}
		case len(c.unchecked) > 0:
			report.Skipped++
			t.Skipped = &outcome{Message: visible("not checked: " + strings.Join(c.unchecked, "; "))}
		}
		report.Cases = append(report.Cases, t)
	}
	if _, err := io.WriteString(p.stdout, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(p.stdout)
	e.Indent("", "  ")
	if err := e.Encode(report); err != nil {
		return err
	}
	_, err := fmt.Fprintln(p.stdout)
	return err
}

// The parts of SARIF 2.1.0 that are used (docs.oasis-open.org/sarif/sarif/v2.1.0).
type sarifText struct {
	Text string `json:"text"`
}

type sarifRule struct {
	ID               string            `json:"id"`
	ShortDescription sarifText         `json:"shortDescription"`
	FullDescription  sarifText         `json:"fullDescription"`
	Help             *sarifText        `json:"help,omitempty"`
	Default          map[string]string `json:"defaultConfiguration"`
}

type sarifRegion struct {
	StartLine int `json:"startLine"`
}

type sarifPhysical struct {
	Artifact struct {
		URI string `json:"uri"`
	} `json:"artifactLocation"`
	Region *sarifRegion `json:"region,omitempty"`
}

type sarifLogical struct {
	Name string `json:"fullyQualifiedName"`
}

type sarifLocation struct {
	Physical *sarifPhysical `json:"physicalLocation,omitempty"`
	Logical  []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifResult struct {
	RuleID     string            `json:"ruleId"`
	RuleIndex  int               `json:"ruleIndex"`
	Level      string            `json:"level"`
	Message    sarifText         `json:"message"`
	Locations  []sarifLocation   `json:"locations"`
	Properties map[string]string `json:"properties,omitempty"`
}

// printSARIF writes findings as a SARIF log, as code scanners' viewers read it.
func (p *program) printSARIF(fs []finding.Finding) error {
	cat, err := catalogue()
	if err != nil {
		return err
	}
	rules, results := []sarifRule{}, []sarifResult{}
	index := map[string]int{}
	for _, f := range fs {
		i, ok := index[f.Rule]
		if !ok {
			i = len(rules)
			index[f.Rule] = i
			r, _ := cat.Rule(f.Rule)
			rule := sarifRule{ID: f.Rule, ShortDescription: sarifText{r.Title}, FullDescription: sarifText{r.Text},
				Default: map[string]string{"level": f.Severity.String()}}
			if r.Remedy != "" {
				rule.Help = &sarifText{r.Remedy}
			}
			rules = append(rules, rule)
		}
		result := sarifResult{RuleID: f.Rule, RuleIndex: i, Level: f.Severity.String(), Message: sarifText{visible(f.Message)},
			Locations: []sarifLocation{sarifPlace(f.Subject)}, Properties: map[string]string{"effect": string(f.Effect)}}
		for key, value := range map[string]string{"remedy": f.Remedy, "libvirtMessage": f.LibvirtMessage} {
			if value != "" {
				result.Properties[key] = visible(value)
			}
		}
		results = append(results, result)
	}
	driver := map[string]any{"name": "virt-pki", "version": version(), "rules": rules}
	return p.printJSON(map[string]any{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []any{map[string]any{"tool": map[string]any{"driver": driver}, "results": results}},
	})
}

// sarifPlace makes a location of a finding's subject: file:line, file, or something that is no file.
func sarifPlace(subject string) sarifLocation {
	name, line := subject, 0
	if i := strings.LastIndexByte(subject, ':'); i > 0 {
		if n, err := strconv.Atoi(subject[i+1:]); err == nil && n > 0 {
			name, line = subject[:i], n
		}
	}
	if !strings.HasPrefix(name, "/") && !exists(name) || strings.Contains(name, "://") {
		return sarifLocation{Logical: []sarifLogical{{visible(subject)}}}
	}
	place := &sarifPhysical{}
	place.Artifact.URI = fileURI(name)
	if line > 0 {
		place.Region = &sarifRegion{line}
	}
	return sarifLocation{Physical: place}
}

// fileURI writes a file's name as a URI reference.
func fileURI(name string) string {
	var b strings.Builder
	if strings.HasPrefix(name, "/") {
		b.WriteString("file://")
	}
	for _, c := range []byte(name) {
		if c == '%' || c <= ' ' || c >= 0x7f || strings.IndexByte(`"<>\^`+"`"+`{|}?#[]`, c) >= 0 {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
