package ca_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
)

func Example() {
	ctx, now := context.Background(), time.Now()
	dir, err := os.MkdirTemp("", "authority")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	name, err := dn.Parse("O=Example,CN=Example CA")
	if err != nil {
		fmt.Println(err)
		return
	}
	authority, err := ca.Create(ctx, filepath.Join(dir, "ca"), ca.Spec{Subject: name, Now: now})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer authority.Close()

	host, err := dn.Parse("C=GB,CN=kvm1.example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	prepared, err := authority.Prepare(now, ca.Order{Host: "kvm1", Request: certs.Request{Role: certs.Server, Subject: host}})
	if err != nil {
		fmt.Println(err)
		return
	}
	issued, err := authority.Issue(ctx, prepared)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(issued.Entry.Subject, issued.Entry.Names, issued.Entry.State)
	// Output: C=GB,CN=kvm1.example.com [kvm1.example.com] issued
}
