package main

import (
	"encoding/json"

	"github.com/urfave/cli/v2"
)

// printJSON writes one indented JSON object and a newline. Every object of the contract carries "schema": 1.
func (p *program) printJSON(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// show prints a command's result: with --json v as it is, with --quiet nothing, otherwise what text prints.
func (p *program) show(c *cli.Context, v any, text func()) error {
	switch {
	case c.Bool("json"):
		return p.printJSON(v)
	case !c.Bool("quiet"):
		text()
	}
	return nil
}

// optional is a string that is null in JSON when empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
