package redirect

// Method captures by leading the system calls of the command to a staging tree.
type Method struct{}

// Name returns the method's name.
func (*Method) Name() string { return "redirect" }
