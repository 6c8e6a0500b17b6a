package der

// Name reads an X.501 Name (a CHOICE of nothing but RDNSequence) and gives its complete TLV.
func (d *Decoder) Name() ([]byte, error) {
	if !d.Next(Sequence) {
		return nil, ErrSyntax // libtasn1 finds no alternative of the CHOICE
	}
	return d.RDNSequence()
}

// RDNSequence reads a SEQUENCE OF SET OF SEQUENCE { OBJECT IDENTIFIER, ANY } and gives its complete TLV. Each of these
// may be empty.
func (d *Decoder) RDNSequence() ([]byte, error) {
	start := d.pos
	end, err := d.Open(Sequence)
	if err != nil {
		return nil, err
	}
	for d.pos < end {
		if err := d.rdn(); err != nil {
			return nil, err
		}
	}
	if err := d.Close(end); err != nil {
		return nil, err
	}
	return d.Since(start), nil
}

func (d *Decoder) rdn() error {
	end, err := d.Open(Set)
	if err != nil {
		return err
	}
	for d.pos < end {
		end, err := d.Open(Sequence)
		if err != nil {
			return err
		}
		if d.pos == end {
			continue
		}
		if _, err := d.ObjectID(); err != nil {
			return err
		}
		if _, err := d.Any(); err != nil {
			return err
		}
		if err := d.Close(end); err != nil {
			return err
		}
	}
	return d.Close(end)
}
