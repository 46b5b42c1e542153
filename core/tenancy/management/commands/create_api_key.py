"""`manage.py create_api_key`: makes a key and prints it, once."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from core import clock
from core.errors import ApiError
from core.tenancy import keys, scopes
from core.tenancy.models import Environment, Product


class Command(BaseCommand):
    help = "Make an API key and print it. It is shown only now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--name", required=True, help="what the key is for")
        parser.add_argument("--product", help="the tag of its product; without: an operator key, which sees all")
        parser.add_argument("--env", action="append", default=[], help="limit it to an environment (repeatable)")
        parser.add_argument("--scope", action="append", default=[], help=f"of: {', '.join(sorted(scopes.ALL))}")
        parser.add_argument("--days", type=int, help="expires after so many days")

    def handle(self, *args: Any, **options: Any) -> None:
        product = None
        environments: list[Environment] = []
        if options["product"]:
            product = Product.objects.filter(tag=options["product"]).first()
            if product is None:
                raise CommandError(f"there is no product {options['product']!r}: PUT /v1/products/…/catalog makes one")
            for slug in options["env"]:
                environment = product.environments.filter(slug=slug).first()
                if environment is None:
                    raise CommandError(f"product {product.tag!r} has no environment {slug!r}")
                environments.append(environment)
        elif options["env"]:
            raise CommandError("--env needs --product: an operator key sees all environments")
        days = options["days"]
        try:
            made = keys.create(
                name=options["name"],
                product=product,
                environments=environments,
                scopes=options["scope"] or scopes.ALL,
                expires_at=clock.database_now() + timedelta(days=days) if days else None,
            )
        except ApiError as error:
            raise CommandError(error.detail) from None
        self.stdout.write(made.text)
