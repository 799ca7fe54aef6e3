"""The command line: ``amazon-ml VERB``. Only this room prints, ends the process, and knows the spelling of options."""
