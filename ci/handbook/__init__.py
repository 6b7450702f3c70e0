"""What ci/reference and tests take from the pages of docs/, and what is made for them."""
