"""How good the assortment is: each module measures one thing and prints it as Markdown."""
