package main

import (
	"fmt"

	"github.com/virt-pki/virt-pki/pkg/conf"
)

// allowedList reads tls_allowed_dn_list of a daemon's configuration file; listed is false where it is not set.
func (p *program) allowedList(name string) (patterns []string, listed bool, err error) {
	text, err := p.readFile(name)
	if err != nil {
		return nil, false, fmt.Errorf("reading the configuration: %w", err)
	}
	f, err := conf.Parse(text, name)
	if err != nil {
		return nil, false, err
	}
	return f.Strings("tls_allowed_dn_list")
}
